"""The mixture editor in a browser: choose, see calls and cost, try, download."""

from pathlib import Path

import pytest

from moa_graph import Mixture
from tests.browser.conftest import SIZES, ask, opened, texts
from tests.browser.test_access import violations
from tests.serving import Served, mixture


@pytest.fixture(scope="module")
def owner(provider_server):
    """A server whose owner may edit; its models are on a server of their own, whose prices are known."""
    prices = {name: [1000, 1000] for name in ("alpha-say=one", "beta-say=two", "agg-say=answered")}
    served = mixture(provider_server, "alpha-say=one", "beta-say=two", aggregator="agg-say=answered", prices=prices)
    with Served({"team": served}, editor=True) as server:
        yield server


@pytest.fixture
def editor(browser, owner):
    with opened(browser, owner) as page:
        page.click("#options-toggle")
        page.get_by_role("link", name="Edit a mixture").click()
        settled(page)
        yield page


def settled(page):
    """Wait for the server's word on the form as it is now."""
    page.wait_for_selector("#form:not([aria-busy])")


def changed(page, work):
    work()
    settled(page)


def totals(page):
    return dict(zip(texts(page, "#totals dt"), texts(page, "#totals dd"), strict=True))


def test_calls_and_cost_follow_the_form(editor):
    before = totals(editor)
    assert before["calls"] == "3" and before["expected cost"].startswith("about $")
    changed(editor, lambda: editor.fill("#layers", "3"))
    assert totals(editor)["calls"] == "5"
    changed(editor, lambda: editor.get_by_role("button", name="Remove Proposer 2").click())
    assert totals(editor)["calls"] == "3"
    price = float(totals(editor)["expected cost"].rpartition("$")[2])
    changed(editor, lambda: editor.get_by_label("Longest answer, in tokens").last.fill("10"))
    assert float(totals(editor)["expected cost"].rpartition("$")[2]) < price


def test_an_edited_mixture_is_tried_on_the_page_and_the_served_one_stays(editor, provider):
    editor.fill("#name", "mine")
    editor.get_by_label("System prompt").first.fill("Be alpha.")
    changed(editor, lambda: editor.get_by_role("button", name="Remove Proposer 2").click())
    editor.click("#try")
    editor.wait_for_selector("#question")
    editor.wait_for_function("() => document.querySelector('#mixture').value === 'mine'")
    provider.reset()
    ask(editor, "mine", "Why?")
    assert editor.inner_text(".answer .body") == "answered" and texts(editor, ".card h4") == ["alpha"]
    first = next(r for r in provider.requests() if r.model == "alpha-say=one").json["messages"]
    assert first[0] == {"role": "system", "content": "Be alpha."}
    provider.reset()
    ask(editor, "team", "Why?")
    assert sorted(r.model for r in provider.requests()) == ["agg-say=answered", "alpha-say=one", "beta-say=two"]


def test_the_file_is_the_mixture_that_was_shown(editor, tmp_path):
    editor.fill("#name", "mine")
    editor.select_option("#combine", "analyze")
    changed(editor, lambda: editor.get_by_label("Temperature").nth(1).fill("0.3"))
    with editor.expect_download() as waiting:
        editor.click("#save")
    assert waiting.value.suggested_filename == "mine.yaml"
    waiting.value.save_as(tmp_path / "mine.yaml")
    whole = Mixture.load(tmp_path / "mine.yaml")
    assert whole.name == "mine" and whole.combine.name == "analyze" and whole.proposers[1].temperature == 0.3
    assert whole.proposers[0].base_url and whole.calls() == int(totals(editor)["calls"])
    assert Path(tmp_path / "mine.yaml").read_text() == editor.locator("#yaml").text_content()


def test_an_answer_about_an_earlier_form_is_not_shown(editor):
    """It would enable Save for a file that is not what the form says."""
    editor.evaluate("""() => {
        const real = window.fetch;
        window.first = new Promise((arrived) => {
            window.fetch = async (...given) => {
                const response = await real(...given);
                await new Promise((go) => { window.release ??= go; arrived(); });
                return response;
            };
        });
    }""")
    editor.fill("#description", "earlier")
    editor.evaluate("() => window.first")
    busy, disabled = editor.evaluate("""async () => {
        const field = document.getElementById("description");
        field.value = "later";
        field.dispatchEvent(new Event("input", { bubbles: true }));
        window.release();
        await new Promise((go) => setTimeout(go, 100));
        return [document.getElementById("form").hasAttribute("aria-busy"), document.getElementById("save").disabled];
    }""")
    assert busy and disabled


def test_problems_stand_at_their_places(editor):
    changed(editor, lambda: editor.get_by_role("button", name="Add a proposer").click())
    changed(editor, lambda: editor.get_by_label("Model").nth(2).fill("gpt"))
    assert editor.get_by_label("Model").nth(2).get_attribute("aria-invalid") == "true"
    assert "Proposer 3" in editor.inner_text("#problems") and "provider:model" in editor.inner_text("#problems")
    assert editor.locator("#try").is_disabled() and editor.locator("#save").is_disabled()
    changed(editor, lambda: editor.get_by_label("Model").nth(2).fill("nobody:model"))
    assert "nobody" in editor.inner_text("#problems")


def test_what_was_edited_is_there_after_a_reload(editor):
    changed(editor, lambda: editor.fill("#description", "for later"))
    editor.reload()
    settled(editor)
    assert editor.input_value("#description") == "for later"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_editor_has_no_violations(browser, owner, size, scheme):
    with opened(browser, owner, size=size, scheme=scheme) as page:
        page.goto(f"{owner.url}/moa/editor")
        settled(page)
        page.get_by_text("Limits").click()
        violations(page, "editor")
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_the_editor_works_with_the_keyboard_alone(editor):
    editor.locator("#add").focus()
    editor.keyboard.press("Enter")
    editor.keyboard.type("local:smollm2")
    settled(editor)
    assert totals(editor)["calls"] == "4"


def test_the_page_of_a_server_for_others_leads_to_no_editor(page, site):
    page.click("#options-toggle")
    assert not page.get_by_role("link", name="Edit a mixture").is_visible()
    assert page.goto(f"{site.url}/moa/editor").status == 404
