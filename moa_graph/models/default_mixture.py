"""Which mixture is meant when nobody names one: the same for the command, the page and the MCP tool."""

from __future__ import annotations

import os

from moa_graph.models.keys import environment


def default_mixture() -> tuple[str, str | None]:
    """A preset's name, or the name or file that MOA_PRESET holds; and why, unless MOA_PRESET says so.

    Looks for keys in `.env` too, so not for an event loop. MOA_PRESET is read from the process environment only: the
    `.env` of a folder must not choose the mixture.
    """
    if named := os.environ.get("MOA_PRESET"):
        return named, None
    openai, together = environment("OPENAI_API_KEY"), environment("TOGETHER_API_KEY")
    if openai and together:
        return "mixed", "OPENAI_API_KEY and TOGETHER_API_KEY are set"
    if openai or together:
        name = "openai" if openai else "together"
        return name, f"{name.upper()}_API_KEY is set"
    return "local", "no provider's key is set, so the small embedded model answers"
