"""`moa ui`: the page, opened."""

from __future__ import annotations

import threading
import webbrowser
from typing import Annotated

import typer

from moa_graph.cli.options import Trust
from moa_graph.cli.serve import Files, Host, Port, Presets, listen

app = typer.Typer(add_completion=False)

Browser = Annotated[bool, typer.Option(help="Open a web browser.")]


@app.command()
def ui(
    presets: Presets = None,
    files: Files = None,
    port: Port = 0,
    host: Host = "127.0.0.1",
    browser: Browser = True,
    trust: Trust = False,
) -> None:
    """Open the page: ask, and see every draft beside the answer. Serves as `moa serve` does, on a free port."""
    listen([*(presets or []), *(files or [])], port, host, ready=_open if browser else None, trust=trust)


def _open(url: str) -> None:
    # In a thread: some browsers' starters return only when the browser is closed.
    threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
