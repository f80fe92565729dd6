"""What the package keeps of runs in this process, for tests that nothing is left of them."""

from __future__ import annotations

from moa_graph.graph import runs


def live_runs() -> int:
    """How many runs this process keeps."""
    return sum(map(len, runs._runs.values()))


def open_latches() -> int:
    """How many rounds have calls under way."""
    kept = [live for lives in runs._runs.values() for live in lives]
    return sum(latch.open for live in kept for latch in live._latches.values())
