"""The three benchmarks put together: their assets, their work, their figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moa_graph.evals import scoring
from moa_graph.evals.alpaca_eval import judge as alpaca_judge
from moa_graph.evals.alpaca_eval import run as alpaca_run
from moa_graph.evals.data import assets
from moa_graph.evals.data.files import Row, read_rows, slug
from moa_graph.evals.engine import Options, choose
from moa_graph.evals.flask import run as flask_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge import Judge
from moa_graph.evals.mt_bench import run as mt_bench_run
from moa_graph.evals.session import Benchmark
from moa_graph.evals.systems.mixture import System
from moa_graph.evals.systems.recorded import Drafts
from moa_graph.mixture.proposer import is_embedded


@dataclass(frozen=True)
class Setup:
    """What every benchmark is given: what is measured, by which judge, how, and who hears of downloads."""

    system: System
    judge: Judge | None
    options: Options
    temperature: float | None = None
    max_tokens: int | None = None
    tell: Callable[[str], None] | None = None

    def rows(self, name: str) -> list[Row]:
        return read_rows(assets.fetch(name, tell=self.tell).path)


def alpaca(
    setup: Setup, *, reference: Path | None = None, both_orders: bool = False, canary: bool = False
) -> Benchmark[alpaca_run.Item]:
    """AlpacaEval 2 against the published reference outputs, or those of `reference`."""
    options = setup.options
    rows = read_rows(reference) if reference else setup.rows(scoring.REFERENCE)
    items = alpaca_run.items(rows, str(reference or scoring.REFERENCE))
    judge = setup.judge
    if judge:
        judge = judge.under(_weighing(judge))
    constant = setup.rows(alpaca_run.NULL_MODEL)[0]["output"] if canary and judge else None
    work = alpaca_run.Alpaca(
        setup.system,
        judge,
        assets.text(alpaca_run.TEMPLATE, tell=setup.tell) if judge else "",
        options.seed,
        both_orders,
        setup.temperature,
        setup.max_tokens,
        constant,
    )
    names = (alpaca_run.OUTPUTS, alpaca_run.ANNOTATIONS, alpaca_run.CANARY)
    return Benchmark(
        name="alpaca",
        items=choose(items, lambda item: item.id, options),
        identify=lambda item: item.id,
        work=work.work,
        files={name: name for name in names},
        figures=lambda rows: _alpaca_figures(rows, options),
        system=setup.system,
        judge=judge,
        settings={"both_orders": both_orders},
        verdicts=(2 if both_orders else 1) * (2 if constant is not None else 1),
    )


def _weighing(judge: Judge) -> Mapping[str, Any]:
    """How the judge is asked which of two answers is better."""
    if judge.reads == "logprobs":
        return alpaca_judge.PARAMETERS
    return alpaca_judge.EMBEDDED_PARAMETERS if is_embedded(judge.spec) else alpaca_judge.TEXT_PARAMETERS


def _alpaca_figures(rows: Mapping[str, list[Row]], options: Options) -> dict[str, Any]:
    outputs, annotations = rows[alpaca_run.OUTPUTS], rows[alpaca_run.ANNOTATIONS]
    figures: dict[str, Any] = {"answered": len(outputs)}
    if any(row["preference"] is not None for row in annotations):
        figures |= scoring.alpaca_figures(annotations, seed=options.seed, resamples=options.resamples)
        figures |= alpaca_run.position_figures(annotations)
    elif annotations:
        figures |= {"n": 0, "parse_failures": len(annotations)}
    if rows[alpaca_run.CANARY]:
        figures["canary"] = _canary(rows[alpaca_run.CANARY])
    return figures


def _canary(rows: Sequence[Row]) -> dict[str, Any]:
    """The constant answer's win rate: a judge that lets it win can be fooled by this benchmark's form."""
    readable = [row for row in rows if row["preference"] is not None]
    figures = scoring.alpaca_figures(rows, resamples=0) if readable else {"win_rate": None}
    return {"n": len(readable), "win_rate": figures["win_rate"]}


def mt_bench(setup: Setup, *, other: Path | None = None) -> Benchmark[mt_bench_run.Question]:
    """MT-Bench with single grading; `other`, a FastChat answer file, adds pairwise judging in both orders."""
    options = setup.options
    questions = mt_bench_run.questions(setup.rows(mt_bench_run.QUESTIONS), setup.rows(mt_bench_run.REFERENCES))
    judge = setup.judge.under(mt_bench_run.PARAMETERS) if setup.judge else None
    prompts = {row["name"]: row for row in setup.rows(mt_bench_run.PROMPTS)} if judge else {}
    rival = Drafts.read(other) if other else None
    work = mt_bench_run.MTBench(
        setup.system, judge, prompts, rival, other.name.split(".json")[0] if other else "", setup.max_tokens or 1024
    )
    return Benchmark(
        name="mt-bench",
        items=choose(questions, lambda question: question.name, options),
        identify=lambda question: question.name,
        work=work.work,
        files=_mt_bench_files(setup.system, judge),
        figures=lambda rows: _mt_bench_figures(rows, options),
        system=setup.system,
        judge=judge,
        verdicts=3 if rival else 1,
    )


def _mt_bench_files(system: System, judge: Judge | None) -> dict[str, str]:
    """FastChat names a model by its file."""
    who = slug(judge.name) if judge else "none"
    return {
        mt_bench_run.ANSWERS: f"model_answer/{slug(system.name)}.jsonl",
        mt_bench_run.JUDGMENTS: f"model_judgment/{who}_single.jsonl",
        mt_bench_run.PAIRS: f"model_judgment/{who}_pair.jsonl",
    }


def _mt_bench_figures(rows: Mapping[str, list[Row]], options: Options) -> dict[str, Any]:
    figures: dict[str, Any] = {"answered": len(rows[mt_bench_run.ANSWERS])}
    for scores in scoring.mt_bench_figures(rows[mt_bench_run.JUDGMENTS], seed=options.seed).values():
        figures |= scores
    if pairs := mt_bench_run.pair_figures(rows[mt_bench_run.PAIRS]):
        figures["pairwise"] = pairs
    return figures


def flask_bench(setup: Setup, *, hard: bool = False) -> Benchmark[flask.Item]:
    """FLASK, or its hard subset."""
    options = setup.options
    items = flask.items(setup.rows(flask_run.HARD if hard else flask_run.ITEMS))
    judge = setup.judge.under(flask_run.PARAMETERS) if setup.judge else None
    rubrics = flask_run.rubrics(json.loads(assets.text(flask_run.RUBRICS, tell=setup.tell))) if judge else {}
    prompt = flask_run.prompt(setup.rows(flask_run.PROMPTS)) if judge else {}
    work = flask_run.Flask(setup.system, judge, prompt, rubrics, setup.temperature, setup.max_tokens)
    chosen = choose(items, lambda item: str(item.idx), options)
    return Benchmark(
        name="flask",
        items=chosen,
        identify=lambda item: str(item.idx),
        work=work.work,
        files={flask_run.OUTPUTS: flask_run.OUTPUTS, flask_run.REVIEWS: flask_run.REVIEWS},
        figures=lambda rows: _flask_figures(rows, chosen, options),
        system=setup.system,
        judge=judge,
        settings={"hard": hard},
    )


def _flask_figures(rows: Mapping[str, list[Row]], items: Sequence[flask.Item], options: Options) -> dict[str, Any]:
    figures: dict[str, Any] = {"answered": len(rows[flask_run.OUTPUTS])}
    if reviews := rows[flask_run.REVIEWS]:
        figures |= scoring.flask_figures(flask_run.reviews(reviews, items), items, seed=options.seed)
    return figures
