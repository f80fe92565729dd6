"""A page of prompts by systems."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from moa_graph.evals.compare.systems import ScoredSystem
from moa_graph.evals.figures import bracket, formatted
from moa_graph.evals.prompts.figures import prompts_figures
from moa_graph.evals.reports.page import Page

_LONGEST = 300
"""Maximum characters of an answer in a cell."""


def matrix_page(systems: Sequence[ScoredSystem]) -> Page:
    """Return every prompt with every system's score and the beginning of its answer."""
    page = Page("Own prompts: prompts by systems")
    figures = [prompts_figures(system.rows) for system in systems]
    rows = [
        [
            system.name,
            str(found["n"]),
            formatted(found["score"]) + bracket(found["interval"], found["cautions"].get("interval")),
            str(found["right"]),
            str(found["wrong"]),
        ]
        for system, found in zip(systems, figures, strict=True)
    ]
    page.table(["system", "prompts", "score (%)", "right", "wrong"], rows)
    page.heading("Scores")
    prompts = list(dict.fromkeys(row["id"] for system in systems for row in system.rows))
    page.table(
        ["prompt", *(system.name for system in systems)],
        [[prompt, *(_score(system, prompt) for system in systems)] for prompt in prompts],
    )
    page.heading("Answers")
    if withheld := {row["id"] for system in systems for row in system.rows if row.get("confidential")}:
        page.text("Some questions are not shown with their answers, because their authors ask not to publish them.")
    for prompt in prompts:
        if prompt in withheld:
            continue
        page.text(f"{prompt}: {_text(systems, prompt)}")
        page.table(["system", "score", "answer"], [_answer(system, prompt) for system in systems])
    return page


def _score(system: ScoredSystem, prompt: Hashable) -> str:
    score = system.by_prompt.get(prompt)
    return "-" if score is None else formatted(score)


def _text(systems: Sequence[ScoredSystem], prompt: Hashable) -> str:
    return next((system.texts[prompt] for system in systems if prompt in system.texts), "")


def _answer(system: ScoredSystem, prompt: Hashable) -> list[str]:
    said = next((str(row["answer"]) for row in system.rows if row["id"] == prompt), "-")
    return [system.name, _score(system, prompt), said if len(said) <= _LONGEST else said[:_LONGEST] + " ..."]
