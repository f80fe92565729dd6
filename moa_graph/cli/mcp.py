"""`moa mcp`: the MCP tool on standard input and output, for desktop clients that start their servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from moa_graph.cli.options import Trust
from moa_graph.cli.serve import Files, Presets, sources

if TYPE_CHECKING:
    from moa_graph.serve.catalogue import Catalogue

app = typer.Typer(add_completion=False)


@app.command()
def mcp(presets: Presets = None, files: Files = None, trust: Trust = False) -> None:
    """Offer the MCP tool `moa_answer` on standard input and output.

    For clients that start a server with a command. Without --preset and --file it offers the mixtures of `moa serve`.
    """
    import asyncio

    from moa_graph.serve.catalogue import Catalogue

    asyncio.run(_serve(Catalogue.of(sources(presets, files), trust=trust)))


async def _serve(catalogue: Catalogue) -> None:
    from mcp.server.stdio import stdio_server

    from moa_graph.serve.mcp.tool import mcp_server

    server = mcp_server(catalogue)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())
