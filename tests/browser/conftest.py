"""Headless Chromium on the page of a running server."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tests.provider import Provider
from tests.serving import Served, mixture, model

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
MARKDOWN = (
    "## Why\n\nLight **scatters**, `blue` most.\n\n1. first\n2. second\n   - inner\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
)
EVIL = "<script>window.pwned=1</script><img src=x onerror=window.pwned=2> [x](javascript:window.pwned=3) </script>"


def say(text: str) -> str:
    """Return the part of a model's name that makes the loopback provider answer `text`."""
    return "say=" + "".join(c if c.isascii() and c.isalnum() else _percent(c) for c in text)


def _percent(character: str) -> str:
    # The provider splits names at - and _, which `quote` leaves as they are.
    quoted = quote(character, safe="")
    return quoted if quoted != character else f"%{ord(character):02X}"


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Chromium under Playwright, which holds this thread's event loop: it must end before other tests begin."""
    path = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if path is None:
        pytest.skip("no Chromium on the path: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(provider_server: Provider) -> Iterator[Served]:
    """Mixtures that answer, fail, hang, are held, and attack."""
    provider, formatted = provider_server, say(MARKDOWN)
    mixtures = {
        "rich": mixture(provider, f"alpha-{formatted}", f"beta-{say('beta says')}", aggregator=f"agg-{formatted}"),
        "deep": mixture(provider, "one-tok=20", "two-tok=20", aggregator="agg-tok=20", layers=3),
        "partial": mixture(provider, f"alpha-{say('fine')}", "bad-err401", aggregator=f"agg-{say('answered')}"),
        "none": mixture(provider, "bad-err401", "worse-err500", aggregator="agg"),
        "noagg": mixture(provider, f"alpha-{say('fine')}", aggregator="agg-err500"),
        "spare": mixture(
            provider,
            f"alpha-{say('fine')}",
            aggregator="agg-cut-tok=20",
            fallbacks=[model(provider, f"spare-{say('mended')}")],
        ),
        "hang": mixture(provider, f"quick-{say('here')}", "stuck-hang", aggregator="agg", deadline=60),
        "held": mixture(provider, "alpha-held-tok=60", aggregator="agg-held-tok=60"),
        "noend": mixture(provider, f"alpha-{say('fine')}", aggregator="agg-cut-tok=20"),
        "mute": mixture(provider, "one-hang", "two-hang", aggregator="agg", deadline=60),
        "evil": mixture(provider, f"mallory-{say(EVIL)}", aggregator=f"agg-{say(EVIL)}"),
        "echo": mixture(provider, "alpha-echo", aggregator="agg-echo"),
        "long": mixture(provider, *(f"m{n}-held-tok=300" for n in range(6)), aggregator="agg-held-tok=60", layers=3),
        "read": mixture(provider, *(f"m{n}-held-tok=160" for n in range(6)), aggregator="agg-held-tok=60"),
        "huge": mixture(provider, "alpha-huge", aggregator=f"agg-{say('small')}"),
    }
    with Served(mixtures) as server:
        yield server


@pytest.fixture
def page(browser: Any, site: Served, provider: Provider) -> Iterator[Any]:
    """The page, ready for a question. Every error that it logs fails the test."""
    with opened(browser, site) as page:
        yield page


@contextmanager
def opened(browser: Any, server: Served, *, size: str = "desktop", scheme: str = "light") -> Iterator[Any]:
    """Return the page of `server` in its own browser context. Every error in it fails the test."""
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, accept_downloads=True)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    # Errors that tests cause on purpose: a refused innerHTML (which also raises), a failed request.
    expected = ("TrustedHTML", "Failed to load resource")
    page.set_default_timeout(60_000)
    page.goto(f"{server.url}/moa")
    ready(page)
    yield page
    context.close()
    assert [text for text in wrong if not any(part in text for part in expected)] == []


def ask(
    page: Any, name: str, question: str = "Why is the sky blue?", *, wait: bool = True, timeout: float = 60_000
) -> None:
    """Ask the mixture `name` a question; wait until its answer is formatted and the page takes the next one."""
    page.select_option("#mixture", name)
    page.fill("#question", question)
    page.press("#question", "Enter")
    if wait:
        page.wait_for_selector("#send:visible", timeout=timeout)
        formatted(page)


def formatted(page: Any) -> None:
    """Wait until no answer is shown as it was written: the first one waits for the library that reads Markdown."""
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.answer .md')].some("
        "(each) => each.hasAttribute('aria-busy') || each.querySelector(':scope > .raw'))"
    )


def ready(page: Any) -> None:
    """Wait for the page after a reload, and for all that it shows of a kept run."""
    page.wait_for_function("() => document.querySelector('#mixture').options.length > 0")
    page.evaluate("() => placing")
    page.wait_for_function("() => !document.querySelector('.md[aria-busy]')")


def release_until(page: Any, provider: Provider, selector: str) -> None:
    """Let held models go on, each time they are held, until the page shows the element."""
    while not page.locator(selector).last.is_visible():
        provider.release()
        page.wait_for_timeout(50)


READ_TEXTS = """async (all) => {
    const shown = new CSSStyleSheet();
    shown.replaceSync("* { content-visibility: visible !important }");
    document.adoptedStyleSheets.push(shown);
    const texts = all.map((each) => each.innerText.trim());
    document.adoptedStyleSheets.pop();
    // The browser decides in its next frame what is in view, and lays that out.
    const frame = () => new Promise((done) => { requestAnimationFrame(done); setTimeout(done, 500); });
    await frame();
    await frame();
    return texts;
}"""


def texts(page: Any, selector: str) -> list[str]:
    """Return the visible text of each element that the selector finds.

    An earlier turn out of view is not laid out (`content-visibility`), and so has no inner text. It is laid out for
    the time of the reading.
    """
    return list(page.locator(selector).evaluate_all(READ_TEXTS))


def blindly(page: Any) -> None:
    """Turn blind mode on."""
    page.click("#options-toggle")
    page.check("#blind")
    page.click("#options-toggle")


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel."""
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
