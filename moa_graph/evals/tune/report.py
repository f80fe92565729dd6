"""The result as a page: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from moa_graph.costs.amounts import number_of
from moa_graph.evals.figures import STAR, bracket, formatted
from moa_graph.evals.reports.page import Page
from moa_graph.evals.reports.plots import histogram, svg

__all__ = ["COLUMNS", "candidate_rows", "effect_rows", "page"]

Figures = Mapping[str, Any]
COLUMNS = [
    "candidate",
    "score (%)",
    "against best single",
    "helped",
    "hurt",
    "$ per 1000",
    "calls",
    "seconds",
    "mixture",
]
_SHOWN = 60
"""Prompts whose scores a page lists: those on which mixture and single model differ most."""


def candidate_rows(figures: Figures) -> list[list[str]]:
    """Return the table of candidates, the best first; those that were not measured come last."""
    rows = sorted(figures["candidates"], key=lambda row: (row["status"] != "measured", -(row["score"] or 0.0)))
    return [_row(row, figures) for row in rows]


def _row(row: Figures, figures: Figures) -> list[str]:
    mark = " (pareto)" if row["name"] in figures["pareto"] else ""
    if row["status"] != "measured":
        return [row["name"], f"{row['status']}: {row['why']}", *["-"] * 6, row["mixture"]]
    marked = row.get("cautions", {})
    gain = "-" if row["gain"] is None else f"{row['gain']:+.2f}"
    gain += bracket(row["gain_interval"], marked.get("gain_interval"))
    return [
        row["name"] + mark,
        formatted(row["score"]) + bracket(row["interval"], marked.get("interval")),
        gain,
        str(row["helped"]),
        str(row["hurt"]),
        "-" if row["dollars_per_1000"] is None else formatted(float(row["dollars_per_1000"])),
        f"{row['calls']:.2f}",
        f"{row['seconds']:.1f}",
        row["mixture"],
    ]


def page(figures: Figures, prompts: Sequence[Figures]) -> Page:
    """Return the report.

    Args:
        figures: What `TuneResult.figures` gives.
        prompts: What `TuneResult.by_prompt` gives.
    """
    made = Page(f"moa tune: {figures['verdict']}")
    made.text(figures["sentence"])
    for caution in figures["cautions"]:
        made.text(f"Caution: {caution}.")
    made.heading("What can be won")
    made.text(figures["ceiling"]["sentence"])
    made.table(["figure", "value"], _ceiling_rows(figures))
    made.heading("Candidates")
    made.table(COLUMNS, candidate_rows(figures))
    made.text(f"In brackets: 95 % intervals by prompt. {STAR}. Seconds are those of the slowest call of every step.")
    if plotted := [row for row in figures["candidates"] if row["status"] == "measured" and row["score"] is not None]:
        made.plot("Score against cost, with the Pareto front", _cost_quality(plotted, figures))
    _choice(made, figures)
    if figures["effects"]:
        _effects(made, figures)
    _agreement(made, figures, prompts)
    _prompts(made, prompts)
    made.heading("The run")
    made.table(
        ["what", ""], [["run", figures["run"]], *([name, formatted(value)] for name, value in _settings(figures))]
    )
    return made


def _settings(figures: Figures) -> list[tuple[str, Any]]:
    spent = [(f"spent: {name}", value) for name, value in figures["spent"].items()]
    return [*((name, value) for name, value in figures["settings"].items() if value not in (None, {}, [])), *spent]


def _ceiling_rows(figures: Figures) -> list[list[str]]:
    found = figures["ceiling"]
    rows = [
        ["best single model (%)", formatted(found["best_single"])],
        ["ceiling: the best draft of every prompt (%)", formatted(found["oracle"])],
        ["ceiling with one draft of each model (%)", formatted(found["one_each"])],
        ["co-failure: every draft fails (%)", formatted(found["co_failure"])],
        ["its one-sided 95 % upper bound (%)", formatted(found["co_failure_upper"])],
    ]
    if noise := figures["judge_noise"]:
        rows += [
            ["judge: deviation of one verdict (points)", formatted(noise["deviation"])],
            ["judge: second verdicts equal to the first (%)", formatted(noise["same"])],
            ["oracle by the first verdicts (%)", formatted(noise["oracle"])],
            ["the same drafts by second verdicts (%)", formatted(noise["oracle_again"])],
        ]
    return rows


def _cost_quality(rows: Sequence[Figures], figures: Figures) -> str:
    """Return the plot of score against cost; the Pareto front is a line."""
    priced = all(row["dollars_per_1000"] is not None for row in rows) and any(row["dollars_per_1000"] for row in rows)
    sized = all(row["tokens"] is not None for row in rows)
    name = "dollars_per_1000" if priced else "tokens" if sized else "calls"
    label = {
        "dollars_per_1000": "dollars for 1000 questions",
        "tokens": "tokens a question",
        "calls": "calls a question",
    }
    winner = figures["winner"]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        best = [row for row in rows if row["name"] in figures["pareto"]]
        best.sort(key=lambda row: row[name])
        axes.step([row[name] for row in best], [row["score"] for row in best], where="post", color="#2a6fdb")
        for row in rows:
            single = row["kind"] == "single"
            named = single or row["name"] in figures["pareto"] or row["name"] == winner
            colour = "#d1495b" if row["name"] == winner else "#2e8b57" if single else "#9a9a9a"
            axes.plot([row[name]], [row["score"]], "s" if single else "o", color=colour, markersize=6 if named else 3)
            if row["name"] == winner and row["interval"]:
                axes.plot([row[name]] * 2, row["interval"], color=colour, linewidth=1)
            if named:
                text = row["name"] if len(row["name"]) < 44 else row["name"][:42] + "..."
                axes.annotate(text, (row[name], row["score"]), xytext=(5, 4), textcoords="offset points", fontsize=7)
        axes.margins(0.15)
        costs = [row[name] for row in rows]
        if min(costs) > 0 and max(costs) > 10 * min(costs):
            axes.set_xscale("log")
        axes.set_xlabel(label[name])
        axes.set_ylabel("score (%)")

    return svg(draw, width=8, height=5)


def _choice(made: Page, figures: Figures) -> None:
    made.heading("The choice")
    if honest := figures["honest"]:
        made.text(
            f"Chosen on one half of the prompts and reported on the other, {honest['splits']} times: "
            f"{honest['gain']:+.2f} points [{honest['interval'][0]:.2f}, {honest['interval'][1]:.2f}] over the best "
            "single model, which is chosen on the same half."
        )
        chosen = [[name, f"{100 * share:.0f} %"] for name, share in list(honest["chosen"].items())[:8]]
        made.table(["chosen", "of the splits"], chosen)
    if figures["finalists"]:
        made.table(
            ["finalist", "against best single", "one-sided p (Holm)", "helped", "hurt", "beats it"],
            [
                [
                    row["name"],
                    f"{row['gain']:+.2f}" + bracket(row["interval"], row.get("caution")),
                    formatted(float(row["p_holm"])),
                    str(row["helped"]),
                    str(row["hurt"]),
                    "yes" if row["wins"] else "no",
                ]
                for row in figures["finalists"]
            ],
        )
    if figures["finalists"]:
        made.text(f"The first one's p, corrected for all candidates: {formatted(float(figures['p_corrected']))}.")
        made.text(f"The prompts rule out a gain of more than {figures['hidden_gain']:.2f} points (95 %).")
    if found := figures["replayed"]:
        made.text(
            f"The graph of {found['candidate']} on the recorded drafts gave the computed answer on {found['same']} of "
            f"{found['prompts']} prompts."
        )


def _effects(made: Page, figures: Figures) -> None:
    made.heading("The sweep")
    made.table(*effect_rows(figures))


def effect_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Return the sweep's values as columns and rows."""
    rows = []
    for row in figures["effects"]:
        gain = f"{row['gain']:+.2f}" + bracket(row["interval"], row.get("caution")) if "gain" in row else "-"
        rows.append([row["field"], row["value"], formatted(row["score"]), gain, formatted(row.get("p_holm", "-"))])
    return ["field", "value", "mean score (%)", "against the first value", "p (Holm)"], rows


def _agreement(made: Page, figures: Figures, prompts: Sequence[Figures]) -> None:
    if not figures["agreement"]:
        return
    made.heading("Agreement and accuracy")
    made.table(
        ["prompts, by agreement", "agreement", "best single (%)", "best mixture (%)"],
        [
            [
                str(row["prompts"]),
                formatted(row["agreement"]),
                formatted(row["best_single"]),
                formatted(row["best_mixture"]),
            ]
            for row in figures["agreement"]
        ],
    )
    known = [row for row in prompts if row["agreement"] is not None and row["best_mixture"] is not None]
    made.plot(
        "How often the best mixture is right where drafts agree so much",
        histogram(
            [row["agreement"] for row in known], [row["best_mixture"] for row in known], "agreement", "score (%)"
        ),
    )


def _prompts(made: Page, prompts: Sequence[Figures]) -> None:
    differing = [row for row in prompts if None not in (row["best_single"], row["best_mixture"])]
    differing = [row for row in differing if abs(row["best_mixture"] - row["best_single"]) > 1e-9]
    made.heading("Helped and hurt")
    if not differing:
        made.text("The best mixture and the best single model score the same on every prompt.")
        return
    differing.sort(key=lambda row: row["best_mixture"] - row["best_single"])
    half = _SHOWN // 2
    some = differing if len(differing) <= _SHOWN else [*differing[:half], *differing[-half:]]
    left = len(differing) - len(some)
    made.table(
        ["prompt", "best single (%)", "best mixture (%)", ""],
        [
            [
                str(row["prompt"]),
                formatted(row["best_single"]),
                formatted(row["best_mixture"]),
                "helped" if row["best_mixture"] > row["best_single"] else "hurt",
            ]
            for row in some
        ],
    )
    if left:
        made.text(f"prompts.jsonl has {number_of(left, 'prompt')} more, with smaller differences.")
