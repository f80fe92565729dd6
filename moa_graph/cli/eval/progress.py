"""The progress of a run of `moa eval`."""

from __future__ import annotations

import sys

from moa_graph.cli.eval.show import print_status
from moa_graph.costs.amounts import in_dollars, number_of
from moa_graph.costs.spending_cap import SpendingCap


class ItemProgress:
    """Finished items and dollars on standard error: a bar on a terminal, else a line at intervals."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.live = sys.stderr.isatty()
        self.every = max(1, total // 20)

    def __enter__(self) -> ItemProgress:
        if self.live:
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import TextColumn, TimeElapsedColumn

            self.bar = Bar(*Bar.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields[cost]}"),
                           console=Console(stderr=True))  # fmt: skip
            self.bar.start()
            self.task = self.bar.add_task("items", total=self.total, cost="$0")
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live:
            self.bar.stop()

    def moved(self, cap: SpendingCap) -> None:
        """Count one more finished item."""
        self.done += 1
        unpriced = f"cost unknown of {number_of(cap.unknown, 'item')}" if cap.unknown else ""
        known = in_dollars(cap.spent) if cap.spent or not unpriced else ""
        cost = ", ".join(filter(None, (known, unpriced)))
        if self.live:
            self.bar.update(self.task, advance=1, cost=cost)
        elif self.done % self.every == 0 or self.done == self.total:
            print_status(f"{self.done}/{self.total} items, {cost}")
