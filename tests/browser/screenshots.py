"""`make screenshots`: the page as it runs on the embedded model, at two sizes, light and dark, into docs/img/."""

import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from moa_graph import Mixture
from tests.browser.conftest import FLAGS, ask
from tests.serving import Served

FOLDER = Path(__file__).parents[2] / "docs" / "img"
QUESTION = "Write one sentence about the sea."
SHOTS = [
    ("page-desktop-light", {"width": 1280, "height": 860}, "light"),
    ("page-desktop-dark", {"width": 1280, "height": 860}, "dark"),
    ("page-phone-light", {"width": 390, "height": 844}, "light"),
    ("page-phone-dark", {"width": 390, "height": 844}, "dark"),
]


def main() -> int:
    path = shutil.which("chromium")
    if path is None:
        print("no chromium on the path: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Served({"local": Mixture.load("local")}) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        kept: str | None = None
        for name, size, scheme in SHOTS:
            context = browser.new_context(viewport=size, color_scheme=scheme)
            kept = _take(context, f"{server.url}/moa", FOLDER / f"{name}.png", kept)
            context.close()
        browser.close()
    return 0


def _take(context: Any, url: str, path: Path, kept: str | None) -> str:
    """One picture of a run that was asked for in the first, and is opened from the history in the others."""
    page = context.new_page()
    page.set_default_timeout(600_000)
    if kept:
        context.add_init_script(f"localStorage.setItem('moa.runs', {kept!r})")
    page.goto(url)
    page.wait_for_function("() => document.querySelector('#mixture').options.length > 0")
    if kept:
        page.click("#history-open")
        page.locator("#history-list .open").first.click()
    else:
        ask(page, "local", QUESTION, timeout=600_000)
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    page.wait_for_timeout(300)
    page.screenshot(path=path)
    print(path.name, path.stat().st_size, "bytes")
    return str(page.evaluate("() => localStorage.getItem('moa.runs')"))


if __name__ == "__main__":
    raise SystemExit(main())
