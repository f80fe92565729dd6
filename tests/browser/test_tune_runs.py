"""The runs of `moa tune` in a browser: from the page to a report, which runs no script."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.browser.conftest import opened
from tests.serve.test_tune_runs import FOREIGN, measured, written
from tests.serving import Served, mixture


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    # Playwright holds this thread's event loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(measured, folder / "mine").result()
    written(folder / "foreign", report=FOREIGN)
    return folder


def test_from_the_page_to_a_report(browser, provider_server, runs):
    """The link stands in the history, which is loaded when it is opened; the plot is drawn; a script is not run."""
    team = mixture(provider_server, "alpha-say=one", aggregator="agg-say=answered")
    with Served({"team": team}, editor=True, tune=[runs]) as server, opened(browser, server) as page:
        assert page.locator("#tune-runs").count() == 0
        page.click("#history-open")
        page.get_by_role("link", name="Runs of moa tune").click()
        page.get_by_role("link", name="mine").click()
        page.get_by_role("heading", name="What can be won").wait_for()
        plot = page.locator("svg").first.bounding_box()
        assert plot["width"] > 200 and plot["height"] > 100
        context = browser.new_context()
        foreign, told = context.new_page(), list[str]()
        foreign.on("console", lambda message: told.append(message.text))
        foreign.goto(f"{server.url}/moa/tune/foreign")
        assert foreign.title() == "x"
        assert any("Blocked script execution" in text for text in told)
        assert any("evil.example" in text and "Content Security Policy" in text for text in told)
        context.close()


def test_another_server_has_no_link(page):
    page.click("#history-open")
    page.wait_for_selector("#history[open]")
    assert page.locator("#tune-runs").count() == 0
