"""The local page in a browser: its size, its first paint beside that of an empty page, and its longest freeze."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from benchmarks.report import Row, row
from moa_graph import Mixture
from tests.fakes import fake

PAINTED = """() => new Promise(done => new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "first-contentful-paint") done(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""
SHOWN = "() => document.querySelector('.answer .md:not([aria-busy]) > :not(.raw)')"
EMPTY = "<!doctype html><html lang=en><title>empty</title><p>An empty page.</p></html>"

LONG = 60_000
TEXTS = {
    "sections": "\n\n".join(f"## Section {n}\n\n" + f"word **{n}** " * 60 for n in range(90)),
    "list": "\n".join(f"- item **{n}** with `code` and some words" for n in range(1_600)),
    "code": "```python\n" + "\n".join(f"x_{n} = compute({n})  # comment {n}" for n in range(1_800)),
    "paragraph": "some words and *more* words with `code`, " * 1_500,
    "table": "| a | b | c |\n|---|---|---|\n" + "\n".join(f"| row {n} | **x** | words |" for n in range(2_500)),
}
"""Answers of the kinds that models write, cut to `LONG` characters."""


def page(rounds: int = 9) -> list[Row]:
    """Measure in headless Chromium.

    First contentful paint, with an empty cache each time, in turn with an empty page of the same server: their ratio
    says more than seconds on a machine that does other work. The bytes of the page. The longest task of the page while
    it shows an answer of 60,000 characters that is streamed to it, and while it opens it again: CPU time of its main
    thread, which is the time of a freeze on a machine that does nothing else.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        print("page: not measured: no chromium on the path (apt-get install chromium)")
        return []
    with _browser(chromium) as browser:
        return [*_paints(browser, rounds), _freezes(browser)]


@contextmanager
def _browser(path: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


async def _empty(request: Request) -> HTMLResponse:
    return HTMLResponse(EMPTY)


def _paints(browser: Any, rounds: int) -> list[Row]:
    from tests.serving import Served

    seconds: dict[str, list[float]] = {"/moa": [], "/empty": []}
    size = 0.0
    with Served({"local": Mixture.load("local")}) as server:
        server.app.router.routes.append(Route("/empty", _empty))
        for _ in range(rounds):
            for path, found in seconds.items():
                context = browser.new_context()
                opened = context.new_page()
                answer = opened.goto(f"{server.url}{path}")
                assert answer is not None and answer.ok
                found.append(opened.evaluate(PAINTED) / 1000)
                size = max(size, float(len(answer.body())))
                context.close()
    ratios = [ours / empty for ours, empty in zip(seconds["/moa"], seconds["/empty"], strict=True)]
    return [
        row("page_first_paint", "first paint of the page, headless Chromium", seconds["/moa"], "s", 0.18),
        row("page_empty_paint", "first paint of an empty page of the same server", seconds["/empty"], "s"),
        row("page_paint_ratio", "first paint of the page, the empty page's = 1", ratios, "x"),
        row("page_bytes", "the page without the Markdown library: HTML, style, script", [size], "bytes", 60_000.0),
    ]


def _freezes(browser: Any) -> Row:
    from tests.serving import Served

    writers = {name: (text + "\n" + text)[:LONG] for name, text in TEXTS.items()}
    mixtures = {
        name: Mixture(proposers=[{"model": fake("drafter", text), "name": "drafter"}], aggregator=fake("writer", text))
        for name, text in writers.items()
    }
    longest = []
    with Served(mixtures) as server:
        for name in mixtures:
            context = browser.new_context()
            opened = context.new_page()
            opened.set_default_timeout(300_000)
            opened.goto(f"{server.url}/moa")
            opened.wait_for_function("() => document.querySelector('#mixture').options.length > 0")
            longest.append(_longest(browser, opened, partial(_ask, opened, name)))
            address = opened.url
            opened.goto("about:blank")  # so that what the browser does to leave the old document is not counted
            longest.append(_longest(browser, opened, partial(opened.goto, address)))
            context.close()
    return row("page_longest_task", "longest task of the page with 60,000 characters", [max(longest)], "ms", 50.0)


def _ask(opened: Any, name: str) -> None:
    opened.select_option("#mixture", name)
    opened.fill("#question", "Why?")
    opened.press("#question", "Enter")
    opened.wait_for_selector("#send:visible")


def _longest(browser: Any, opened: Any, work: Callable[[], Any]) -> float:
    """Return the milliseconds of CPU of the page's longest task from `work` until the whole answer is shown."""

    def until_shown() -> None:
        work()
        opened.wait_for_function(SHOWN)

    return longest_task(browser, opened, until_shown)


def longest_task(browser: Any, opened: Any, work: Callable[[], Any]) -> float:
    """Return the milliseconds of CPU of the longest task of the page's main thread during `work` and a second after."""
    browser.start_tracing(page=opened, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    try:
        work()
        opened.wait_for_timeout(1_000)
    finally:
        recorded = browser.stop_tracing()
    events = json.loads(recorded)["traceEvents"]
    main = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [each for each in events if each["name"] == "RunTask" and (each["pid"], each["tid"]) in main]
    return max(each.get("tdur", 0) for each in tasks) / 1_000
