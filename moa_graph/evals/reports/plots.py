"""Plots as SVG text. Equal figures give equal bytes, and nothing is loaded from elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

_STYLE: Any = {
    "svg.hashsalt": "moa_graph",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "text.parse_math": False,  # names may hold dollars
}
_COLOURS = ("#2a6fdb", "#d1495b", "#2e8b57", "#b8860b", "#6a4c93", "#4d4d4d")


@dataclass(frozen=True)
class Point:
    """One system (or judge) in a plot; `low` and `high` are an interval of `y`."""

    name: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


def svg(draw: Callable[[Figure], None], *, width: float = 6.0, height: float = 3.6) -> str:
    """Return what `draw` draws on a figure, as an SVG element."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def intervals(points: Sequence[Point], label: str) -> str:
    """Plot scores with their intervals, one line per system."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, point in enumerate(points):
            colour = _COLOURS[place % len(_COLOURS)]
            if point.low is not None and point.high is not None:
                axes.plot([point.low, point.high], [place, place], color=colour, linewidth=2)
            axes.plot([point.y], [place], "o", color=colour)
        axes.set_yticks(range(len(points)), [point.name for point in points])
        axes.set_ylim(-0.7, len(points) - 0.3)
        axes.invert_yaxis()
        axes.set_xlabel(label)

    return svg(draw, height=0.9 + 0.4 * len(points))


def scatter(points: Sequence[Point], x: str, y: str) -> str:
    """Plot named points, with vertical intervals if they have them."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, point in enumerate(points):
            colour = _COLOURS[place % len(_COLOURS)]
            if point.low is not None and point.high is not None:
                axes.plot([point.x, point.x], [point.low, point.high], color=colour, linewidth=1)
            axes.plot([point.x], [point.y], "o", color=colour)
            axes.annotate(point.name, (point.x, point.y), xytext=(5, 4), textcoords="offset points")
        axes.margins(0.15)
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    return svg(draw)


def radar(systems: Mapping[str, Mapping[str, float]], axes_names: Sequence[str], low: float, high: float) -> str:
    """Plot systems over many skills; a missing score leaves a gap."""

    def draw(figure: Figure) -> None:
        axes: Any = figure.add_subplot(projection="polar")
        angles = np.linspace(0, 2 * np.pi, len(axes_names), endpoint=False).tolist()
        for place, (name, scores) in enumerate(systems.items()):
            values = [scores.get(skill, float("nan")) for skill in axes_names]
            colour = _COLOURS[place % len(_COLOURS)]
            axes.plot([*angles, angles[0]], [*values, values[0]], "o-", color=colour, label=name, markersize=3)
        axes.set_xticks(angles, [name.replace(" ", "\n") for name in axes_names])
        axes.set_ylim(low, high)
        axes.legend(loc="lower right", bbox_to_anchor=(1.35, -0.1))

    return svg(draw, width=6.5, height=5)


def histogram(values: Sequence[float], by: Sequence[float], x: str, y: str) -> str:
    """Plot the mean of `by` in up to eight equal-count bins of `values`, for example wins by answer length."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        order = np.argsort(np.asarray(values, dtype=float), kind="stable")
        parts = [part for part in np.array_split(order, min(8, len(order))) if len(part)]
        xs = [float(np.mean([values[i] for i in part])) for part in parts]
        ys = [float(np.mean([by[i] for i in part])) for part in parts]
        axes.plot(xs, ys, "o-", color=_COLOURS[0])
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    return svg(draw)
