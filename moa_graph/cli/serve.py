"""`moa serve` and `moa ui`: mixtures as models of an OpenAI-compatible endpoint, and the page."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moa_graph.cli.complete import mixture_files
from moa_graph.cli.complete import presets as preset_completion
from moa_graph.cli.garbage import loaded_frozen
from moa_graph.cli.home import RUNS
from moa_graph.cli.options import Aggregator, BaseUrl, KeyEnv, Proposers, Trust, chosen
from moa_graph.errors import ConfigError, InputError
from moa_graph.models.terminal_text import for_terminal

if TYPE_CHECKING:
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.serve.catalogue import Catalogue

app = typer.Typer(add_completion=False)
ui_app = typer.Typer(add_completion=False)

Presets = Annotated[
    list[str] | None,
    typer.Option(
        "--preset", "-p", metavar="NAME", help="A preset to offer; repeatable.", autocompletion=preset_completion
    ),
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="A mixture file to offer; repeatable.", autocompletion=mixture_files
    ),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port; 0 chooses a free one.")]
Host = Annotated[str, typer.Option("--host", help="The address to listen on; other than loopback needs MOA_SERVE_KEY.")]

TuneFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--tune",
        metavar="FOLDER",
        help="Show the runs of `moa tune` in this folder too, beside those in moa-evals; repeatable.",
    ),
]
Browser = Annotated[bool, typer.Option(help="Open a web browser.")]


@app.command()
def serve(
    presets: Presets = None,
    files: Files = None,
    proposers: Proposers = None,
    aggregator: Aggregator = None,
    base_url: BaseUrl = None,
    api_key_env: KeyEnv = None,
    port: Port = 8000,
    host: Host = "127.0.0.1",
    trust: Trust = False,
) -> None:
    """Serve mixtures as models of an OpenAI-compatible endpoint, and the page that shows every draft.

    Without --preset and --file, it offers every preset whose keys are set, starting with the default of `moa ask`, and
    `local` if it is installed. With --proposer it offers that mixture as the model `moa`. MOA_SERVE_KEY sets the key
    that clients must send.
    """
    given = _given(proposers, aggregator, base_url=base_url, api_key_env=api_key_env)
    listen([*given, *sources(presets, files)], port, host, trust=trust)


def listen(
    sources: list[str | Path | Mixture],
    port: int,
    host: str,
    *,
    ready: Callable[[str], object] | None = None,
    trust: bool = False,
    editor: bool = False,
    tune: Sequence[Path] = (),
) -> None:
    """Serve until interrupted. `ready` is called with the page's address when the server answers.

    Raises:
        ConfigError: A mixture or a key is wrong, the port is taken, or the address is public and there is no key.
    """
    import uvicorn

    from moa_graph.serve.access import Policy
    from moa_graph.serve.app import create_app
    from moa_graph.serve.catalogue import Catalogue
    from moa_graph.serve.connections import limited_protocol

    policy = Policy.from_environment()
    if policy.key is None and not _loopback(host):
        raise ConfigError(
            f"--host {host}: everyone who can reach this address could use your keys. Set MOA_SERVE_KEY to a secret "
            "value; clients then send it as their API key."
        )
    catalogue = Catalogue.of(sources, trust=trust)
    with _bound(host, port) as listening, ExitStack() as serving:
        url = f"http://{_in_url(host)}:{listening.getsockname()[1]}"

        class ReadyServer(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                serving.enter_context(loaded_frozen())
                _print_addresses(url, catalogue)
                if ready:
                    ready(f"{url}/moa")

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                await super().shutdown(sockets)
                # Cancelled requests still tell their clients why they end.
                if self.server_state.tasks and not self.force_exit:
                    await asyncio.wait(self.server_state.tasks, timeout=2)

        # When the server stops, active runs get a moment to finish and are then cancelled.
        config = uvicorn.Config(
            create_app(catalogue, policy, editor=editor and not policy.hosts and _loopback(host), tune=tune),
            log_level="warning",
            timeout_graceful_shutdown=2,
            http=limited_protocol(),
        )
        ReadyServer(config).run(sockets=[listening])


def _print_addresses(url: str, catalogue: Catalogue) -> None:
    lines = [f"page      {url}/moa", f"endpoint  {url}/v1", f"models    {', '.join(catalogue.mixtures)}"]
    lines += [f"left out  {name} (needs {', '.join(needs)})" for name, needs in catalogue.missing.items()]
    sys.stderr.write(for_terminal("\n".join(lines)) + "\nCtrl-C stops it.\n")
    sys.stderr.flush()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _in_url(host: str) -> str:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    return everywhere.get(host) or (f"[{host}]" if ":" in host else host)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512
        )
    except socket.gaierror as exc:
        raise InputError(f"--host {host}: {exc.strerror}.") from exc
    except OSError as exc:
        raise ConfigError(f"port {port} of {host}: {exc.strerror}. Use another --port; 0 chooses a free one.") from exc


@ui_app.command()
def ui(
    presets: Presets = None,
    files: Files = None,
    port: Port = 0,
    host: Host = "127.0.0.1",
    browser: Browser = True,
    tune: TuneFolders = None,
    trust: Trust = False,
) -> None:
    """Open the page: ask, and see every draft beside the answer. It serves like `moa serve`, on a free port.

    Its history leads to the reports of `moa tune`.
    """
    from moa_graph.serve.page.tune_runs import require_runs

    require_runs(tune or ())
    listen(
        sources(presets, files), port, host, ready=_open if browser else None, trust=trust, editor=True,
        tune=[RUNS, *(tune or ())],
    )  # fmt: skip


def _given(
    proposers: list[str] | None, aggregator: str | None, *, base_url: str | None, api_key_env: str | None
) -> list[Mixture]:
    """Return the mixture that options describe model by model; empty without --proposer."""
    if proposers:
        return [chosen(proposers=proposers, aggregator=aggregator, base_url=base_url, api_key_env=api_key_env)]
    names = {"--aggregator": aggregator, "--base-url": base_url, "--api-key-env": api_key_env}
    if unused := [name for name, value in names.items() if value]:
        raise InputError(f"{unused[0]} needs --proposer: presets and files name their own models and hosts.")
    return []


def sources(presets: list[str] | None, files: list[Path] | None) -> list[str | Path | Mixture]:
    """Return the mixtures that --preset and --file name."""
    return [*(presets or []), *(files or [])]


def _open(url: str) -> None:
    # In a thread, because some browsers' launchers return only when the browser is closed.
    threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
