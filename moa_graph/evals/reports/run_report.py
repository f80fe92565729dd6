"""A run as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.costs.amounts import number_of
from moa_graph.evals.data.files import Row
from moa_graph.evals.figures import bracket, formatted, lines
from moa_graph.evals.reports.page import Page

OWN_TABLES = frozenset(
    {"benchmark", "models", "generation", "judging", "skills", "domains", "difficulties", "counts", "intervals"}
    | {"categories", "datasets"}
)
"""Figures that have their own table in a report."""
_LABELS = {
    "win_rate": "win rate (%)",
    "length_controlled_winrate": "length-controlled win rate (%)",
    "score": "score",
    "mean": "mean over skills (1 to 5)",
}


def of_run(
    scores: Mapping[str, Any],
    timing: Mapping[str, Mapping[str, float]],
    failures: Sequence[str],
    rows: Sequence[Row],
    degraded: Mapping[str, int] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> Page:
    """Return the report of one run.

    Args:
        scores: The run's figures.
        timing: Seconds by item.
        failures: The failures, as "item: reason".
        rows: AlpacaEval's annotations, for the plot of length against winning.
        degraded: The number of degraded answers by reason.
        manifest: The contents of the run's `run.json`.
    """
    page = Page(f"{scores['benchmark']}: {scores['system']}")
    if scores["judge"] is None and main_score(scores) is None:
        page.text("This run has no judge: it only generated answers.")
    for warning in scores["warnings"]:
        page.text(f"Warning: {warning}")
    _main_figures(page, scores, timing)
    if "skills" in scores:
        _skills(page, scores)
    if "categories" in scores:
        page.heading("By category")
        page.table(["category", "score"], [[name, formatted(v)] for name, v in scores["categories"].items()])
    if scores.get("datasets"):
        page.heading("By data set")
        cells = [[name, str(v["n"]), formatted(v["win_rate"])] for name, v in scores["datasets"].items()]
        page.table(["data set", "prompts", "win rate (%)"], cells)
    if any(row.get("preference") is not None for row in rows):
        _length(page, rows)
    _cost(page, scores, timing, (manifest or {}).get("batch_api") or [])
    if manifest:
        _what_was_measured(page, manifest)
    if degraded:
        page.heading("Degraded answers")
        page.text("These answers count in the figures. If a call failed, running again repeats it.")
        page.table(["what happened", "answers"], [[reason, str(times)] for reason, times in degraded.items()])
    if failures:
        page.heading("What failed")
        page.text(
            f"{number_of(len(failures), 'call')} failed; running again repeats only failed calls. The first ones:"
        )
        page.table(["item", "what happened"], [text.split(": ", 1) for text in failures[:20]])
    return page


def main_score(scores: Mapping[str, Any]) -> tuple[str, float, list[float] | None] | None:
    """Return (name, value, interval) of a benchmark's headline figure; None when nothing was judged."""
    for name, width in (
        ("length_controlled_winrate", "length_controlled_interval"),
        ("win_rate", "win_rate_interval"),
        ("score", "interval"),
        ("mean", "interval"),
    ):
        if scores.get(name) is not None:
            return name, scores[name], scores.get(width)
    return None


def _main_figures(page: Page, scores: Mapping[str, Any], timing: Mapping[str, Mapping[str, float]]) -> None:
    from moa_graph.evals.reports.plots import Point, intervals, scatter

    page.heading("Figures")
    page.table(["figure", "value"], list(lines(scores, hidden=OWN_TABLES)))
    if not (main := main_score(scores)):
        return
    name, value, width = main
    low, high = width or (None, None)
    label = _LABELS[name]
    page.plot(
        f"{label} with its 95 % interval over prompts", intervals([Point(scores["system"], 0, value, low, high)], label)
    )
    seconds, dollars = per_answer(scores, timing)
    for against, unit, place in (
        ("seconds an answer", "seconds an answer", seconds),
        ("price", "dollars for 1000 answers", None if dollars is None else 1000 * dollars),
    ):
        if place is not None:
            points = [Point(scores["system"], place, value, low, high)]
            page.plot(f"{label} against {against}", scatter(points, unit, label))


def per_answer(
    scores: Mapping[str, Any], timing: Mapping[str, Mapping[str, float]]
) -> tuple[float | None, float | None]:
    """Return seconds and dollars of generation per answer (MT-Bench has two answers per item); None if unknown."""
    answers, cost = scores["answers"], scores["generation"]["cost"]
    if not answers:
        return None, None
    seconds = sum(entry["generation"] for entry in timing.values()) / answers
    return seconds, None if cost is None else cost / answers


def _what_was_measured(page: Page, manifest: Mapping[str, Any]) -> None:
    page.heading("What was measured")
    # None is an option that the run was not given.
    asked = {name: manifest[name] for name in ("benchmark", "reference", "started", "versions")}
    asked |= {f"selection: {name}": value for name, value in manifest["selection"].items()}
    asked |= {f"setting: {name}": value for name, value in manifest["settings"].items()}
    rows = [[name, formatted(value, missing="none")] for name, value in asked.items()]
    rows += [["model", formatted([model])] for model in manifest["models"]]
    judges = [manifest["judge"], *manifest["jury"]] if manifest["judge"] else []
    rows += [["judge", formatted([judge])] for judge in judges]
    rows += [[f"SHA-256 of {name}", digest] for name, digest in manifest["data"].items()]
    page.table(["what", ""], rows)


def _skills(page: Page, scores: Mapping[str, Any]) -> None:
    from moa_graph.evals.flask.scores import SKILLS
    from moa_graph.evals.reports.plots import radar

    page.heading("By skill")
    rows = [
        [
            name,
            formatted(value) + bracket(scores["intervals"].get(name), scores["cautions"].get(name)),
            str(scores["counts"][name]),
        ]
        for name, value in scores["skills"].items()
    ]
    page.table(["skill", "mean, 95 % interval", "n"], rows)
    page.plot("FLASK skills", radar({scores["system"]: scores["skills"]}, SKILLS, 1, 5))
    for kind in ("domains", "difficulties"):
        page.table([kind, "mean"], [[name, formatted(value)] for name, value in scores[kind].items()])


def _length(page: Page, rows: Sequence[Row]) -> None:
    from moa_graph.evals.reports.plots import histogram

    read = [row for row in rows if row["preference"] is not None]
    gaps = [float(len(row["output_2"]) - len(row["output_1"])) for row in read]
    wins = [100.0 * (row["preference"] - 1) for row in read]
    page.heading("Length")
    page.plot(
        "Win rate by how much longer the answer is than the reference",
        histogram(gaps, wins, "characters longer than the reference", "win rate (%)"),
    )


def _cost(
    page: Page, scores: Mapping[str, Any], timing: Mapping[str, Mapping[str, float]], batch_hosts: Sequence[str]
) -> None:
    page.heading("Calls, cost and time")
    rows = []
    for part in ("generation", "judging"):
        entry = scores[part]
        seconds = sum(times[part] for times in timing.values())
        names = ("calls", "cost", "input_tokens", "output_tokens")
        rows.append([part, *(formatted(entry[name]) for name in names), f"{seconds:.1f}"])
    page.table(["part", "calls", "dollars", "tokens in", "tokens out", "seconds (sum over items)"], rows)
    time, dollars = per_answer(scores, timing)
    each = [["seconds", formatted(time)], ["dollars for 1000", formatted(None if dollars is None else 1000 * dollars)]]
    page.table(["per answer", ""], each)
    if batch_hosts:
        page.text(
            f"Calls to {', '.join(batch_hosts)} went through its Batch API. They have the price that the list has for "
            "batches, and their seconds include the wait for the batch."
        )
    page.text("Seconds depend on the machine and the time of day; every other figure is the same if this is run again.")
