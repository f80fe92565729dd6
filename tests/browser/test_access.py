"""Accessibility: the page with the keyboard only, and the findings of axe."""

import pytest

from tests.browser.conftest import ask, blindly, opened, texts


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_nothing(browser, site, size, scheme, tmp_path):
    with opened(browser, site, size=size, scheme=scheme) as page:
        violations(page, "at first")
        page.click("#options-toggle")
        violations(page, "options")
        page.click("#options-toggle")
        ask(page, "partial")
        ask(page, "deep")
        violations(page, "answered")
        with page.expect_download() as waiting:
            page.locator(".answer footer").last.get_by_role("button", name="HTML report").click()
        waiting.value.save_as(tmp_path / "run.html")
        blindly(page)
        ask(page, "rich")
        assert page.get_by_role("button", name="is best").count() == 3
        violations(page, "to be voted on")
        page.get_by_role("button", name="Draft A is best").click()
        violations(page, "voted")
        page.click("#history-open")
        violations(page, "history")
        page.goto((tmp_path / "run.html").as_uri())
        assert page.locator(".card").count() == 4
        violations(page, "report")


def violations(page, where):
    """Fail on findings of axe, of whatever impact."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    # Evaluated like a debugger does, so that the page's own policy does not apply.
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("() => axe.run()")["violations"]
    assert [(v["id"], v["impact"], v["nodes"][0]["html"][:200]) for v in found] == [], where


def focused(page):
    """Return roughly the text that a screen reader speaks for the focused element."""
    return page.evaluate(
        "() => { const e = document.activeElement; return e.ariaLabel || e.labels?.[0]?.textContent || e.textContent; }"
    ).strip()


def tab_to(page, name, *, back=False):
    """Press Tab until the element called `name` has the focus."""
    for _ in range(40):
        if focused(page).startswith(name):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    pytest.fail(f"Tab never leads to {name!r}; it ended on {focused(page)!r}")


def test_the_keyboard_alone_is_enough(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.type("asked without a mouse")
    page.keyboard.press("Enter")
    page.wait_for_selector("#send:visible")
    assert page.inner_text(".turn h2") == "asked without a mouse"
    assert page.evaluate("document.activeElement.id") == "question"
    assert "answer is complete" in page.inner_text("#say").lower()


def test_options_and_a_vote_by_keyboard_alone(page, provider):
    tab_to(page, "Mixture")
    page.keyboard.type("rich")
    tab_to(page, "Options")
    page.keyboard.press("Enter")
    tab_to(page, "Layers", back=True)
    page.keyboard.type("3")
    tab_to(page, "System prompt")
    page.keyboard.type("Be kind.")
    tab_to(page, "Blind")
    page.keyboard.press("Space")
    tab_to(page, "Your question")
    page.keyboard.type("Which?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#send:visible")
    assert len(provider.requests()) == 5
    assert all(request.json["messages"][0]["content"].startswith("Be kind.") for request in provider.requests())
    tab_to(page, "Draft B is best", back=True)
    page.keyboard.press("Enter")
    assert page.locator(".card.best").count() == 1 and "Vote kept" in page.inner_text("#say")
    assert focused(page) == "Which?", "the focus stays with the turn"
    assert sorted(texts(page, ".card h4")) == ["alpha", "alpha", "beta", "beta"]


def test_the_history_by_keyboard_alone(page):
    ask(page, "partial", "first")
    tab_to(page, "New", back=True)
    page.keyboard.press("Enter")
    ask(page, "partial", "second")
    tab_to(page, "History", back=True)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('dialog')?.open"), "the focus is in the dialog"
    tab_to(page, "first")
    page.keyboard.press("Enter")
    assert texts(page, ".turn h2") == ["first"] and not page.locator("#history").is_visible()
    tab_to(page, "History", back=True)
    page.keyboard.press("Enter")
    tab_to(page, "Forget first")
    page.keyboard.press("Enter")
    assert [text.partition("\n")[0] for text in texts(page, "#history-list .open")] == ["second"]
    page.keyboard.press("Escape")
    assert not page.locator("#history").is_visible() and focused(page) == "History"
