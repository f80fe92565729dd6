"""`python -m benchmarks`: every row of docs/performance.md, printed, written to reports/bench.json and drawn."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import fresh, rows
from benchmarks.batches import batches
from benchmarks.checkpoints import checkpoints
from benchmarks.combiners import combiners
from benchmarks.commands import commands
from benchmarks.history import history
from benchmarks.measure import run
from benchmarks.page import page
from benchmarks.profile import profile
from benchmarks.provider import provider
from benchmarks.report import Row, draw, write
from benchmarks.standstill import standstill

REPORT = Path("reports/bench.json")


def _thread(make: Callable[..., list[Row]], *, base: bool = True) -> Callable[[str], Awaitable[list[Row]]]:
    return lambda url: asyncio.to_thread(make, *([url] if base else []))


GROUPS: dict[str, Callable[[str], Awaitable[list[Row]]]] = {
    "paced": rows.paced,
    "cpu": rows.cpu,
    "wall": rows.wall,
    "profile": profile,
    "crowd": rows.crowd,
    "silence": rows.silence,
    "checkpoints": checkpoints,
    "tracing": _thread(fresh.tracing),
    "start": _thread(fresh.start),
    "start_embedded": _thread(fresh.start_embedded),
    "quorum": rows.quorum,
    "standstill": standstill,
    "combiners": combiners,
    "history": history,
    "batch": batches,
    "memory": _thread(fresh.memory),
    "commands": _thread(commands, base=False),
    "page": _thread(page, base=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all when none is named")
    wanted = parser.parse_args().groups or list(GROUPS)

    async def measured(base: str) -> None:
        for name in wanted:
            write(await GROUPS[name](base), REPORT)

    with provider() as base:
        run(lambda: measured(base))
    draw(REPORT)


if __name__ == "__main__":
    main()
