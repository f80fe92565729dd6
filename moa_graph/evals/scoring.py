"""Recorded verdicts to the plain figures that the command prints and every run writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.alpaca_eval import length_control as length
from moa_graph.evals.alpaca_eval import scores as alpaca
from moa_graph.evals.data import assets
from moa_graph.evals.data.files import Row
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge_table import table as meta
from moa_graph.evals.judge_table.votes import Humans, Judge
from moa_graph.evals.mt_bench import scores as mt_bench
from moa_graph.evals.stats import Interval, mean_interval

Figures = dict[str, Any]
REFERENCE = "alpaca_eval/reference_outputs_gpt4_1106_preview.json"
GAMED = "alpaca_eval/df_gamed.csv"
PUBLISHED_JUDGES = "meta_eval/alpaca_eval_evaluators_leaderboard.csv"


@dataclass(frozen=True)
class LengthData:
    """What the length control needs, and where it is from."""

    difficulty: dict[str, float]
    gamed: length.Data
    source: str


def length_data() -> LengthData:
    """The original table of gamed baselines where it is at hand, else the reconstructed one.

    Raises ConfigError, with the command that gets the original, when there is neither: no length control is better
    than an unlike one.
    """
    if assets.present(GAMED):
        text = assets.text(GAMED)
        instructions = [row["instruction"] for row in _reference_rows()]
        hard = length.difficulty_by_position(text)
        return LengthData(
            {name: hard[place] for place, name in enumerate(instructions)}, length.read_gamed(text), "df_gamed.csv"
        )
    try:
        difficulty = assets.text("alpaca_eval/derived/instruction_difficulty_recovered.csv")
        gamed = assets.text("alpaca_eval/derived/df_gamed_reconstructed.csv")
    except ConfigError as error:
        raise ConfigError(
            f"no length control: it needs AlpacaEval's gamed baselines; {assets.command(GAMED)} gets them"
        ) from error
    return LengthData(
        length.read_difficulty(difficulty), length.read_gamed(gamed), "df_gamed_reconstructed.csv (reconstructed)"
    )


def _reference_rows() -> list[Row]:
    from moa_graph.evals.data.files import read_rows

    return read_rows(assets.fetch(REFERENCE).path)


def alpaca_figures(rows: Sequence[Row], *, seed: int = 0, resamples: int = 500) -> Figures:
    """AlpacaEval figures of one system's annotations.

    `length_controlled_winrate` is None, with a note, where it cannot be computed. `resamples` 0 leaves
    intervals out.
    """
    items = alpaca.read_annotations(rows)
    rate = alpaca.win_rate([item.win for item in items])
    read = [100 * item.win for item in items if item.win is not None]
    worst, best = alpaca.bounds([item.win for item in items])
    interval = mean_interval(read, seed=seed, resamples=resamples) if resamples else None
    return {
        "n": rate.n,
        "win_rate": rate.win_rate,
        "standard_error": rate.standard_error,
        "discrete_win_rate": rate.discrete_win_rate,
        **_length_figures(items, seed=seed, resamples=resamples),
        "avg_length": alpaca.average_length(items),
        "parse_failures": rate.parse_failures,
        "wins": rate.wins,
        "losses": rate.losses,
        "draws": rate.draws,
        "win_rate_interval": pair(interval),
        "win_rate_bounds": [worst, best],
    }


def _length_figures(items: Sequence[alpaca.Annotation], *, seed: int, resamples: int) -> Figures:
    names = ("length_controlled_winrate", "length_controlled_interval", "length_controlled_note")
    try:
        data = length_data()
        rows, difficulty = length.model_rows(items, data.difficulty)
    except (ConfigError, InputError) as error:
        return dict(zip(names, (None, None, str(error)), strict=True))
    weights = length.refit(rows, data.gamed)
    assert weights.C is not None
    width = length.interval(rows, data.gamed, weights.C, seed=seed, resamples=resamples) if resamples else None
    rate = length.predict(weights, difficulty.tolist())
    return dict(zip(names, (rate, pair(width), f"refitted; gamed baselines from {data.source}"), strict=True))


def mt_bench_figures(rows: Sequence[Row], *, seed: int = 0) -> dict[str, Figures]:
    """MT-Bench figures by model. Categories are added when the questions are at hand."""
    scores = mt_bench.scores(mt_bench.judgments(rows), categories=categories(), seed=seed)
    return {
        name: {
            "score": score.score,
            "first_turn": score.first_turn,
            "second_turn": score.second_turn,
            "n": score.n,
            "duplicates": score.duplicates,
            "parse_failures": score.parse_failures,
            "interval": pair(score.interval),
            "categories": score.categories,
        }
        for name, score in scores.items()
    }


def categories() -> dict[Any, str]:
    """MT-Bench's category of every question, or nothing when the questions are not on this disk."""
    from moa_graph.evals.data.files import read_rows

    found = assets.present("mt_bench/question.jsonl")
    return {row["question_id"]: row["category"] for row in read_rows(found.path)} if found else {}


def flask_figures(reviews: Sequence[flask.Review], items: Sequence[flask.Item], *, seed: int = 0) -> Figures:
    """FLASK figures of one system's reviews; intervals resample questions."""
    result = asdict(flask.report(reviews, items))
    widths: dict[str, Any] = {}
    for skill in result["skills"]:
        scores = [r.scores.get(skill) for r in reviews if r.scores is not None]
        widths[skill] = pair(mean_interval([s for s in scores if s is not None], seed=seed))
    # The mean pools all scores, and those of one question go together.
    pooled = [(s, r.idx) for r in reviews for s in (r.scores or {}).values() if s is not None]
    width = mean_interval([score for score, _ in pooled], clusters=[idx for _, idx in pooled], seed=seed)
    return {**result, "interval": pair(width), "intervals": widths}


def judge_figures(humans: Humans, judges: Sequence[Judge], *, seed: int = 0) -> dict[str, Figures]:
    """The rows of the judge table: the humans' own, then every judge's. Each says that it was computed."""
    rows = {"humans": meta.rate_humans(humans, seed=seed)}
    for judge in judges:
        if judge.name in rows:
            raise InputError(f"two judges are called {judge.name!r}; give one another name as NAME=FILE")
        rows[judge.name] = meta.rate(judge, humans, seed=seed)
    return {name: _rating_figures(rating) for name, rating in rows.items()}


def _rating_figures(rating: meta.Rating) -> Figures:
    return {
        **rating.columns,
        "n": rating.n,
        "runs": rating.runs,
        "parsed": rating.parsed,
        "parse_failures": rating.parse_failures,
        "kappa": rating.kappa,
        "intervals": {name: pair(width) for name, width in rating.intervals.items()},
        "reasons": rating.reasons,
        "interval_reasons": rating.interval_reasons,
        "source": "computed",
    }


def published_judges() -> dict[str, Mapping[str, float | None]]:
    """The published table by judge, our column names; nothing when the file is not on this disk.

    One row of it is damaged (agreement 0.34, price 12.9) and is left out.
    """
    import csv
    import io

    if not assets.present(PUBLISHED_JUDGES):
        return {}
    table = csv.DictReader(io.StringIO(assets.text(PUBLISHED_JUDGES)))
    rows = {row[""]: {k: _number(row[header]) for k, header in meta.COLUMNS.items()} for row in table}
    return {name: row for name, row in rows.items() if (row["human_agreement"] or 0) > 1}


def _number(text: str) -> float | None:
    return float(text) if text else None


def pair(interval: Interval | None) -> list[float] | None:
    """An interval as JSON."""
    return None if interval is None else [interval.low, interval.high]
