"""The page in a real browser: its state while models write, fail, hang and attack."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moa_graph import Mixture, create_moa
from moa_graph.serve.page import report
from tests.browser.conftest import EVIL, ask, formatted, opened, ready, say, texts
from tests.serving import Served, mixture

DATA = re.compile(r'(?<=id="data">).*(?=</script>\n<script>)')
"""The parts that differ between two reports."""


def test_drafts_answer_time_line_and_totals(page):
    ask(page, "rich")
    assert texts(page, ".card h4") == ["alpha", "beta"]
    assert texts(page, ".card .chip") == ["done", "done"]
    assert "beta says" in texts(page, ".card .body")[1]
    for footer in texts(page, ".card footer"):
        assert re.search(r"first token \d.*total \d.*\d+ tokens?", footer, re.DOTALL)
    assert len(texts(page, ".lanes li")) == 3
    totals = dict(zip(texts(page, ".totals dt"), texts(page, ".totals dd"), strict=True))
    assert totals["calls"] == "3" and totals["cost"] == "unknown" and int(totals["tokens out"]) > 3


def test_markdown_becomes_elements(page):
    ask(page, "rich")
    body = page.locator(".answer .md")
    assert body.locator("h4").inner_text() == "Why"
    assert body.locator("strong").inner_text() == "scatters" and body.locator("p code").inner_text() == "blue"
    assert body.locator("ol > li").count() == 2 and body.locator("ol ul li").inner_text() == "inner"
    assert body.locator("th").all_inner_texts() == ["a", "b"] and body.locator("td").all_inner_texts() == ["1", "2"]


def test_layers_are_columns_and_calls_are_counted(page):
    page.select_option("#mixture", "deep")
    assert page.inner_text("#calls") == "3 layers, 5 calls a question"
    ask(page, "deep")
    assert texts(page, ".layer h3 span") == ["2 of 2 drafts"] * 2
    left, right = (page.locator(".layer").nth(n).bounding_box() for n in (0, 1))
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]


def test_a_failed_proposer_shows_its_real_error_and_the_answer_comes(page):
    ask(page, "partial")
    failed = page.locator(".card.failed")
    assert failed.count() == 1 and "401" in failed.locator(".error").inner_text()
    assert page.inner_text(".answer .body") == "answered"
    assert "1 draft not used" in page.inner_text(".state")


@pytest.mark.parametrize(("name", "said"), [("none", "401"), ("noagg", "500")])
def test_a_failed_run_says_why(page, name, said):
    ask(page, name)
    assert said in page.inner_text(".alarm") and "no answer" in page.inner_text(".state")
    ask(page, "rich", "And now?")
    assert page.locator(".turn").count() == 2 and page.locator(".answer .md").last.is_visible()


def test_an_answer_that_breaks_off_gives_way_to_the_fallbacks(page):
    ask(page, "spare")
    assert page.inner_text(".answer .body") == "mended" and "spare" in page.inner_text(".answer .model")
    assert "fallback" in page.inner_text(".state")


def test_the_embedded_model_answers_on_the_page(browser):
    with Served({"local": Mixture.load("local")}) as server, opened(browser, server) as page:
        ask(page, "local", "Name three fruits.", timeout=100_000)
        assert page.inner_text(".answer .body").strip() and page.locator(".card .chip.bad").count() == 0
        assert page.inner_text(".totals").count("free") == 1


def test_stop_ends_the_run_here_and_at_the_provider(page, provider):
    ask(page, "hang", wait=False)
    page.wait_for_selector(".card:has-text('here') .chip:text-is('done')")
    provider.wait(lambda stats: stats["in_flight"] == 1)
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0
    assert texts(page, ".card .chip") == ["done", "stopped"] and "stopped" in page.inner_text(".state")


def test_escape_stops_too(page, provider):
    ask(page, "hang", wait=False)
    page.wait_for_selector(".card:has-text('here') .chip:text-is('done')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#send:visible")
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0


def test_drafts_and_answer_grow_while_they_are_written(page, provider):
    ask(page, "held", wait=False)
    page.wait_for_function("() => document.querySelector('.card .body')?.textContent.length > 60")
    assert texts(page, ".card .chip") == ["writes"]
    provider.release()
    page.wait_for_function("() => document.querySelector('.answer .body')?.textContent.length > 60")
    short = len(page.inner_text(".answer .body"))
    provider.release()
    page.wait_for_selector("#send:visible")
    assert short < len(page.inner_text(".answer .body"))


def test_what_models_write_stays_text(page):
    ask(page, "evil")
    assert page.evaluate("window.pwned") is None
    assert page.locator(".turn script, .turn img, .turn a").count() == 0
    assert page.inner_text(".answer .body") == EVIL and page.inner_text(".card .clip") == EVIL
    # The browser itself refuses HTML made of text, and foreign scripts.
    assert "TypeError" in page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>' } catch (e) { return String(e) } }"
    )


def test_a_draft_of_two_megabytes_does_not_stall_the_page(page):
    ask(page, "huge")
    page.get_by_role("button", name="Show the drafts").click()
    page.get_by_role("button", name="Show all of alpha").click()
    page.get_by_role("button", name="Show more (60,000 of 2,097,151").click()
    page.get_by_role("button", name="Show more (120,000 of 2,097,151").wait_for()
    assert page.inner_text(".answer .body") == "small", page.inner_text(".turn .alarm")


@pytest.mark.parametrize("line", ["# a" + 50_000 * " " + "b", "# a " + 50_000 * "#" + "b"], ids=["spaces", "hashes"])
def test_no_line_of_a_model_makes_the_page_compute_for_ever(page, line):
    ask(page, "echo", line)
    assert page.locator(".answer .md h4").text_content() == line[2:]
    page.get_by_role("button", name="Show the drafts").click()
    page.get_by_role("button", name="Show all of alpha").click()
    assert page.locator(".card .md h5").text_content() == line[2:]


@pytest.mark.parametrize(
    ("line", "text"), [("# Why #", "Why"), ("## C#", "C#"), ("# ##", ""), ("#\ttab", "tab"), ("# a # b", "a # b")]
)
def test_headings_lose_the_signs_that_close_them(page, line, text):
    ask(page, "echo", f"{line}\n\nrest")
    assert page.locator(".answer .md > :first-child").text_content() == text


def test_follow_ups_carry_answers_and_no_drafts(page, provider):
    ask(page, "partial", "first")
    provider.reset()
    ask(page, "partial", "second")
    sent = provider.requests()[0].json["messages"]
    assert [(m["role"], m["content"]) for m in sent if m["role"] != "system"] == [
        ("user", "first"),
        ("assistant", "answered"),
        ("user", "second"),
    ]


@pytest.mark.parametrize("name", ["held", "noend"])
def test_half_an_answer_is_not_what_the_assistant_said(page, provider, name):
    ask(page, name, "first", wait=False)
    if name == "held":
        page.wait_for_function("() => document.querySelector('.card .body')?.textContent.length > 60")
        provider.release()
    page.wait_for_function("() => document.querySelector('.answer .body')?.textContent.length > 20")
    if name == "held":
        page.click("#stop")
    page.wait_for_selector("#send:visible")
    assert "agg" in page.inner_text(".answer .body"), "the half that came is shown"
    provider.reset()
    ask(page, "partial", "second")
    sent = provider.requests()[0].json["messages"]
    assert [(m["role"], m["content"]) for m in sent if m["role"] != "system"] == [("user", "second")]


def test_options_reach_the_run(page, provider):
    page.select_option("#mixture", "rich")
    page.click("#options-toggle")
    page.select_option("#layers", "3")
    page.fill("#system", "Speak as a pirate.")
    page.select_option("#aggregator", index=2)
    assert page.inner_text("#calls") == "3 layers, 5 calls a question"
    page.fill("#question", "hi")
    page.click("#send")
    page.wait_for_selector("#send:visible")
    requests = provider.requests()
    assert len(requests) == 5 and "beta" in requests[-1].model
    assert all(r.json["messages"][0]["content"].startswith("Speak as a pirate.") for r in requests)


def saved(page, name):
    with page.expect_download() as waiting:
        page.locator(".answer footer").get_by_role("button", name=name).click()
    return waiting.value.path().read_text()


def test_a_saved_answer_that_is_incomplete_says_so(page, provider):
    ask(page, "held", wait=False)
    provider.wait(lambda stats: stats["in_flight"] == 1)
    provider.release()
    page.wait_for_function("() => document.querySelector('.answer .body')?.textContent.length > 60")
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    formatted(page)
    assert "\n\nIncomplete: stopped\n\n[agg" in saved(page, "Markdown")
    ask(page, "rich")
    assert "Incomplete" not in page.evaluate("() => asMarkdown([conversation.turns.at(-1)])")


def test_exports_and_copy(page, browser, tmp_path):
    ask(page, "evil")
    assert EVIL in saved(page, "Markdown")
    document = json.loads(saved(page, "JSON"))
    assert document["turns"][0]["drafts"][0]["text"] == EVIL and document["turns"][0]["record"]["calls"] == 2
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".answer footer").get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == EVIL
    report = tmp_path / "report.html"
    report.write_text(saved(page, "HTML report"))
    shows_the_report(browser, report, EVIL)


def shows_the_report(browser, path, answer):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.inner_text(".answer .body") == answer and page.locator(".card").count() >= 1
    assert page.evaluate("window.pwned") is None
    assert not page.locator("#ask").is_visible() and len(page.locator(".lanes li").all()) >= 2
    assert asked == [path.as_uri()]
    context.close()


def test_a_report_made_by_the_package(browser, provider, tmp_path):
    graph = create_moa(mixture(provider, f"mallory-{say(EVIL)}", aggregator=f"agg-{say(EVIL)}"))
    path = tmp_path / "run.html"
    path.write_text(report.html(graph.invoke({"messages": "hi"})))
    shows_the_report(browser, path, EVIL)


def test_the_command_saves_the_same_report(browser, page, provider, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"mallory-{say(EVIL)}", f"agg-{say(EVIL)}"]
    proposer, aggregator = ({"model": f"openai:{name}", "base_url": provider.url} for name in names)
    Path("mine.yaml").write_text(json.dumps({"proposers": [proposer], "aggregator": aggregator}))
    command = [sys.executable, "-m", "moa_graph", "ask", "-f", "mine.yaml", "--save", "run.html", "hi"]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    shows_the_report(browser, tmp_path / "run.html", EVIL)
    ask(page, "evil")
    exported, written = (re.split(DATA, text) for text in (saved(page, "HTML report"), Path("run.html").read_text()))
    assert exported == written and len(written) == 2, "page and command use one renderer"


def test_closing_the_page_ends_every_call(browser, site, provider):
    with opened(browser, site) as page:
        ask(page, "mute", wait=False)
        provider.wait(lambda stats: stats["in_flight"] == 2)
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["disconnected"] == 2


def test_history_survives_a_reload_and_can_be_forgotten(page):
    ask(page, "partial", "remember me")
    page.reload()
    ready(page)
    page.click("#history-open")
    page.get_by_role("button", name="remember me").first.click()
    ready(page)
    assert page.inner_text(".answer .body") == "answered" and page.inner_text(".turn h2") == "remember me"
    ask(page, "partial", "go on")
    page.click("#history-open")
    assert len(texts(page, "#history-list li")) == 1 and "2 questions" in page.inner_text("#history-list")
    page.get_by_role("button", name="Forget remember me").click()
    assert page.inner_text("#history-list") == "None yet."


@pytest.mark.parametrize("name", ["deep", "evil", "partial"])
def test_nothing_is_wider_than_a_phone(browser, site, name):
    with opened(browser, site, size="phone") as page:
        ask(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [320, 256])
def test_nothing_is_wider_than_a_narrow_window(browser, site, width):
    """320 pixels are a window of 1280 at a zoom of 400 %."""
    with opened(browser, site, size="phone") as page:
        page.set_viewport_size({"width": width, "height": 568})
        ask(page, "partial", f"What is {'x' * 300}?")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.click("#theme")
        page.click("#history-open")
        box = page.get_by_role("button", name="Forget What is").bounding_box()
        assert box["x"] + box["width"] <= width


def test_the_page_is_small_and_asks_for_nothing_else(browser, site):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(site.url)))
    response = page.goto(f"{site.url}/moa")
    ready(page)
    assert response.headers["content-encoding"] == "gzip" and len(response.body()) <= 60_000
    assert int(response.headers["content-length"]) < 30_000
    assert [url for url in asked if not url.startswith("data:")] == ["/moa", "/moa/mixtures"]
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    context.close()


def test_a_server_that_is_gone_is_said(page, site):
    page.route("**/moa/run", lambda route: route.abort())
    ask(page, "rich")
    assert page.locator(".alarm").is_visible()
