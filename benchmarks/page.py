"""The local page in a browser: its size, and the time to its first contentful paint."""

import shutil

from benchmarks.report import Row, row

PAINTED = """() => new Promise(done => new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "first-contentful-paint") done(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""


def page(rounds: int = 9) -> list[Row]:
    """First contentful paint in headless Chromium, an empty cache each time; bytes of the whole page."""
    from playwright.sync_api import sync_playwright

    from moa_graph import Mixture
    from tests.browser.conftest import FLAGS
    from tests.serving import Served

    chromium = shutil.which("chromium")
    if chromium is None:
        print("page: not measured: no chromium on the path (apt-get install chromium)")
        return []
    seconds, size = [], 0.0
    with Served({"local": Mixture.load("local")}) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        for _ in range(rounds):
            context = browser.new_context()
            opened = context.new_page()
            answer = opened.goto(f"{server.url}/moa")
            assert answer is not None and answer.ok
            size = float(len(answer.body()))
            seconds.append(opened.evaluate(PAINTED) / 1000)
            context.close()
        browser.close()
    return [
        row("page_first_paint", "first paint of the page, headless Chromium", seconds, "s", 0.3),
        row("page_bytes", "the page: HTML, script and style in one file", [size], "bytes", 100_000.0),
    ]
