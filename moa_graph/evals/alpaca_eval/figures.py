"""Recorded AlpacaEval annotations as plain figures, with length control if its data is on this disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from moa_graph.errors import ConfigError, InputError, MoAError
from moa_graph.evals.alpaca_eval import length_control as length
from moa_graph.evals.alpaca_eval import scores as alpaca
from moa_graph.evals.data import assets
from moa_graph.evals.data.fields import UnreadableError
from moa_graph.evals.data.files import Row, read_bytes, read_rows
from moa_graph.evals.figures import Figures, as_pair, cautions, readable_systems
from moa_graph.evals.stats import fraction_interval

REFERENCE = "alpaca_eval/reference_outputs_gpt4_1106_preview.json"
GAMED = "alpaca_eval/df_gamed.csv"
DIFFICULTY = "alpaca_eval/derived/instruction_difficulty_recovered.csv"
RECONSTRUCTED = "alpaca_eval/derived/df_gamed_reconstructed.csv"


@dataclass(frozen=True)
class LengthData:
    """The data that length control needs, and its source."""

    difficulty: dict[str, float]
    gamed: length.Data
    source: str


def length_data() -> LengthData:
    """Return the original table of gamed baselines if it is on this disk, else the reconstructed one.

    Raises:
        ConfigError: Neither is on this disk; the message has the command that downloads the original.
        InputError: The table is damaged.
    """
    if found := assets.present(GAMED):
        data = read_bytes(found.path)
        text, digest = data.decode("utf-8-sig", "replace"), hashlib.sha256(data).hexdigest()
        known = digest == assets.asset(RECONSTRUCTED).sha256
        source = f"df_gamed.csv (SHA-256 {digest}, {'the reconstructed table' if known else 'not verified'})"
        try:
            hard = length.difficulty_by_position(text)
            difficulty = {row["instruction"]: hard[place] for place, row in enumerate(read_rows(_reference()))}
            gamed_rows = length.read_gamed(text)
            if len(gamed_rows.y) != 2 * len(difficulty):
                raise InputError(f"{len(gamed_rows.y)} rows where {2 * len(difficulty)} belong; it is damaged")
            return LengthData(difficulty, gamed_rows, source)
        except KeyError as error:
            raise InputError(f"{found.path} is damaged: prompt {error} has no row. Download it again") from error
        except InputError as error:
            raise InputError(f"{found.path}: {error}. Download it again") from error
    try:
        hard_text, gamed = assets.text(DIFFICULTY), assets.text(RECONSTRUCTED)
    except ConfigError as error:
        raise ConfigError(
            f"no length control: it needs AlpacaEval's gamed baselines; {assets.command(GAMED)} downloads them"
        ) from error
    source = "df_gamed_reconstructed.csv (reconstructed)"
    return LengthData(length.read_difficulty(hard_text), length.read_gamed(gamed), source)


def _reference() -> Any:
    return assets.fetch(REFERENCE).path


def alpaca_figures(
    rows: Sequence[Row], *, intervals: bool = True, length_control: bool = True, whole: bool = True
) -> Figures:
    """Return the AlpacaEval figures of one system's annotations.

    Args:
        rows: Rows of one model, judge and reference.
        intervals: Whether to compute intervals.
        length_control: Whether to fit the length control.
        whole: Whether the rows should cover the whole benchmark, so that missing prompts are noted.

    Returns:
        Figures by name. `length_controlled_winrate` is None, with a note, if it cannot be computed.

    Raises:
        UnreadableError: No verdict could be read; the message names the first.
    """
    items = alpaca.read_annotations(rows)
    wins = [item.win for item in items]
    unreadable = alpaca.first_unreadable(items)
    if not any(win is not None for win in wins):
        raise UnreadableError(f"no verdict could be read: {unreadable}; a preference is a number from 1 to 2")
    rate = alpaca.win_rate(wins)
    width = fraction_interval([100 * win for win in wins if win is not None], scale=100) if intervals else None
    controlled, controlled_width = _length_figures(items, intervals) if length_control else ({}, None)
    missing = missing_prompts(items) if whole else None
    position = alpaca.position_figures(rows)
    notes = [
        _incomplete(len(items), missing),
        alpaca.position_warning(position),
        f"{rate.parse_failures} of {len(wins)} verdicts could not be read; {unreadable}" if unreadable else None,
    ]
    source = alpaca.Source.of(rows[0])
    return {
        "model": source.model or None,
        "judge": source.judge or None,
        "reference": source.reference or None,
        "n": rate.n,
        "missing": missing,
        "win_rate": rate.win_rate,
        "standard_error": rate.standard_error,
        "discrete_win_rate": rate.discrete_win_rate,
        **controlled,
        "avg_length": alpaca.average_length(items),
        "parse_failures": rate.parse_failures,
        "duplicates": len(rows) - len(items),
        "wins": rate.wins,
        "losses": rate.losses,
        "draws": rate.draws,
        "win_rate_interval": as_pair(width),
        "win_rate_bounds": list(alpaca.bounds(wins)),
        **position,
        "datasets": alpaca.by_dataset(items),
        "cautions": cautions({"win_rate_interval": width, "length_controlled_interval": controlled_width}),
        "notes": [text for text in notes if text],
    }


def missing_prompts(items: Sequence[alpaca.Annotation]) -> int | None:
    """Return how many prompts of the benchmark the file lacks; None if unknown, or if the file has other prompts."""
    try:
        if assets.present(REFERENCE):
            known = {row["instruction"] for row in read_rows(_reference())}
        elif assets.present(DIFFICULTY):
            known = set(length.read_difficulty(assets.text(DIFFICULTY)))
        else:
            return None
    except MoAError:
        return None
    here = {item.instruction for item in items}
    return len(known - here) if here <= known else None


def _incomplete(n: int, missing: int | None) -> str | None:
    if not missing:
        return None
    return (
        f"{missing} of {n + missing} prompts are missing. AlpacaEval joins difficulties by row number, so a "
        "length-controlled rate that it computed from such a file is misaligned; this one is joined by instruction"
    )


def _length_figures(items: Sequence[alpaca.Annotation], intervals: bool) -> tuple[Figures, Any]:
    names = ("length_controlled_winrate", "length_controlled_interval", "length_controlled_note")
    try:
        data = length_data()
        rows, difficulty = length.model_rows(items, data.difficulty)
    except (ConfigError, InputError) as error:
        return dict(zip(names, (None, None, str(error)), strict=True)), None
    weights = length.refit(rows, data.gamed)
    width = length.interval(rows, data.gamed, weights) if intervals else None
    rate = length.predict(weights, difficulty.tolist())
    note = f"refitted; gamed baselines from {data.source}"
    return dict(zip(names, (rate, as_pair(width), note), strict=True)), width


def alpaca_systems(rows: Sequence[Row], *, intervals: bool = True) -> list[Figures]:
    """Return the figures of every model, judge and reference in one file, each group separately.

    Raises:
        InputError: There are no rows, or no verdict could be read.
    """
    groups = {str(source): group for source, group in alpaca.by_source(rows).items()}
    return list(readable_systems(groups, partial(alpaca_figures, intervals=intervals), "annotations").values())
