"""`make screenshots`: the page and the editor as they run on the embedded model, into docs/img/."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

from moa_graph import Mixture
from tests.browser.conftest import FLAGS, ask
from tests.fakes import fake
from tests.serving import Served

FOLDER = Path(__file__).parents[2] / "docs" / "img"
QUESTION = "What is the capital of France?"
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
CHOICE = "Which should I learn first, Python or JavaScript?"
DRAFTS = {
    "north": "Python. Its syntax gets out of the way, and it leads to **data work** and automation.",
    "east": "JavaScript, if you want to see results in a browser on the first day. It runs everywhere.",
    "south": "Python. Beginners make fewer mistakes in it, and what you learn carries over to other languages.",
}
ANALYSIS = {
    "consensus": ["Both languages are good first languages."],
    "contradictions": [
        {
            "topic": "Which one first",
            "stances": [
                {"model": 1, "stance": "Python"},
                {"model": 2, "stance": "JavaScript"},
                {"model": 3, "stance": "Python"},
            ],
        }
    ],
    "partial_coverage": [],
    "unique_insights": [{"model": 2, "insight": "JavaScript shows results in a browser at once."}],
    "blind_spots": ["It depends on what the person wants to build."],
}
ANSWER = (
    "Start with **Python** unless you want to build web pages: beginners make fewer mistakes in it, and what you learn "
    "carries over to other languages. For web pages, start with JavaScript, which shows results in a browser at once."
)
LONG = 600_000
"""Milliseconds for an answer of the embedded model on a busy machine."""


class Shot(NamedTuple):
    """A picture of the page after a run."""

    name: str
    size: dict[str, int]
    scheme: str


SHOTS = [
    Shot("page-desktop-light", DESKTOP, "light"),
    Shot("page-desktop-dark", DESKTOP, "dark"),
    Shot("page-phone-light", PHONE, "light"),
    Shot("page-phone-dark", PHONE, "dark"),
]


def main() -> int:
    """Take all pictures."""
    path = shutil.which("chromium")
    if path is None:
        print("no chromium on the path: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    local = Mixture.load("local")
    served = {"local": local, "scripted": scripted()}
    with Served(served, editor=True) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        url, kept = f"{server.url}/moa", None
        for shot in SHOTS:
            kept = _run(browser, url, shot, kept)
        _notes(browser, url)
        _editor(browser, url)
        browser.close()
    return 0


def scripted() -> Mixture:
    """Return a mixture of scripted models: the embedded model is too small for an analysis."""
    writers = [fake(name, text) for name, text in DRAFTS.items()]
    analyst = fake("analyst", json.dumps(ANALYSIS))
    return Mixture(
        proposers=[{"model": each, "name": each.model} for each in writers],
        aggregator=fake("writer", ANSWER),
        combine={"name": "analyze", "analyst": analyst},
    )


def _page(browser: Any, url: str, size: dict[str, int], scheme: str, kept: str | None = None) -> Any:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    if kept:
        context.add_init_script(f"for (const [key, text] of Object.entries({kept})) localStorage.setItem(key, text)")
    page = context.new_page()
    page.set_default_timeout(LONG)
    page.goto(url)
    page.wait_for_function("() => document.querySelector('#mixture').options.length > 0")
    return page


def _run(browser: Any, url: str, shot: Shot, kept: str | None) -> str:
    """Picture a run that was asked for in the first shot, and is opened from the history in the others."""
    page = _page(browser, url, shot.size, shot.scheme, kept)
    if kept:
        page.click("#history-open")
        page.locator("#history-list .open").first.click()
    else:
        ask(page, "local", QUESTION, timeout=LONG)
        page.get_by_role("button", name="Show the drafts").click()
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    runs = str(page.evaluate("() => JSON.stringify(localStorage)"))
    _save(page, shot.name)
    return runs


def _notes(browser: Any, url: str) -> None:
    """Picture how a combiner came to the answer, and what the answer shares with each draft."""
    page = _page(browser, url, DESKTOP, "light")
    ask(page, "scripted", CHOICE, timeout=LONG)
    page.get_by_text("What the answer shares with each draft").click()
    page.locator(".compare details summary").nth(2).click()
    page.locator(".note > summary").first.click()
    page.evaluate("() => { document.activeElement.blur(); document.querySelector('.answer').scrollIntoView(); }")
    _save(page, "page-notes")


def _editor(browser: Any, url: str) -> None:
    page = _page(browser, url, DESKTOP, "light")
    page.goto(f"{url}/editor")
    page.wait_for_selector("#try:not([disabled])")
    _save(page, "page-editor")


def _save(page: Any, name: str) -> None:
    page.wait_for_timeout(300)
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    print(path.name, path.stat().st_size, "bytes")
    page.context.close()


if __name__ == "__main__":
    # The pictures must not hold what this machine's keys allow.
    for variable in [name for name in os.environ if name.endswith("_API_KEY")]:
        del os.environ[variable]
    raise SystemExit(main())
