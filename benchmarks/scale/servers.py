"""The same questions through an Agent Server: `langgraph dev`, and aegra with a worker killed in mid-run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.scale.command import missing, mixture, questions, run, start, written
from tests.aegra import Aegra, Missing
from tests.langgraph_dev import LangGraphDev
from tests.provider import Provider


def langgraph_dev(folder: Path, count: int) -> dict[str, Any]:
    """Whether `--url` writes the very bytes that a local run writes."""
    with Provider() as provider:
        mix = mixture(provider.url)
        source, here = _local(folder, mix, count)
        place = folder / "dev"
        place.mkdir()
        with LangGraphDev(mix, folder=place) as server:
            return {"server": "langgraph dev", **_remote(folder / "dev.out.jsonl", source, here, server.url, count)}


def aegra(folder: Path, count: int) -> dict[str, Any]:
    """The same with two worker processes, of which one is killed while it works.

    Raises:
        Missing: something that aegra needs is not installed.
    """
    with Provider() as provider:
        mix = mixture(provider.url, traits="100ms-echo")
        server = Aegra(mix, workers=2)
        source, here = _local(folder, mix, count)
        provider.reset()
        with server:
            out = folder / "aegra.out.jsonl"
            process = start(source, out, "--url", server.url, "-c", 16, "-q")
            while process.poll() is None and provider.stats()["answered"] < 2 * count:
                time.sleep(0.01)
            assert process.poll() is None, f"it was over too early:\n{out.with_suffix('.log').read_text()}"
            server.kill(0)
            code = process.wait()
            asked = len(provider.requests())
    return {
        "server": "aegra-api, one of two workers killed",
        "prompts": count,
        "workers_killed": len(server.killed),
        "lost": missing(out, count),
        "exit_code": code,
        "equal": out.exists() and out.read_bytes() == here.read_bytes(),
        "calls_made_again": asked - 5 * count,
    }


def _local(folder: Path, mix: dict[str, Any], count: int) -> tuple[Path, Path]:
    source, here = questions(folder / "asked.jsonl", count), folder / "here.out.jsonl"
    for stale in (here, here.with_name(here.name + ".ledger")):
        stale.unlink(missing_ok=True)
    code = run(source, here, "--file", written(folder, mix), "-q")
    assert code == 0, here.with_suffix(".log").read_text()[-2000:]
    return source, here


def _remote(out: Path, source: Path, here: Path, url: str, count: int) -> dict[str, Any]:
    begun = time.monotonic()
    code = run(source, out, "--url", url, "-q")
    return {
        "prompts": count,
        "lost": missing(out, count),
        "exit_code": code,
        "equal": out.exists() and out.read_bytes() == here.read_bytes(),
        "seconds": round(time.monotonic() - begun, 1),
    }


__all__ = ["Missing", "aegra", "langgraph_dev"]
