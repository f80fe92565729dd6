"""Rows of figures, printed, kept as JSON and drawn."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure: the median of its rounds, their range, and what it should be. No target: for comparison only."""

    key: str
    title: str
    value: float
    min: float
    max: float
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target


def row(
    key: str,
    title: str,
    values: Sequence[float],
    unit: str,
    target: float | None = None,
    *,
    at_least: bool = False,
) -> Row:
    """The row of one figure's rounds; printed at once, since a run takes minutes."""
    made = Row(key, title, statistics.median(values), min(values), max(values), unit, target, at_least)
    wanted = "" if target is None else f"{'>=' if at_least else '<='} {target:g}"
    verdict = {True: "met", False: "NOT met", None: ""}[made.met]
    span = f"({made.min:.4g} to {made.max:.4g})"
    print(f"{key:28} {made.value:9.4g} {unit:6} {span:24} {wanted:10} {verdict:8} {title}", flush=True)
    return made


def write(rows: Sequence[Row], path: Path) -> None:
    """One key a row, with value, min, max, target and met; `machine` says where."""
    path.parent.mkdir(exist_ok=True)
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept |= {each.key: {**asdict(each), "met": each.met} for each in rows}
    load = round(os.getloadavg()[0], 1)
    kept["machine"] = {"python": platform.python_version(), "cpus": os.cpu_count(), "load": load}
    path.write_text(json.dumps(kept, indent=1) + "\n")


def draw(path: Path) -> None:
    """Every targeted row as a bar: its share of its target; over the line is missed."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed (it comes with the extra `evals`)")
        return
    matplotlib.use("agg")
    from matplotlib import pyplot

    kept = json.loads(path.read_text())
    wanted = [each for each in kept.values() if each.get("target")]
    shares = [each["target"] / each["value"] if each["at_least"] else each["value"] / each["target"] for each in wanted]
    figure, axes = pyplot.subplots(figsize=(9, 0.35 * len(wanted) + 1), layout="constrained")
    axes.barh([each["key"] for each in wanted], shares, color=["#2a7" if each["met"] else "#c33" for each in wanted])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("measured / target (1 is the target; shorter is better)")
    figure.savefig(path.with_suffix(".png"), dpi=120)
    pyplot.close(figure)
