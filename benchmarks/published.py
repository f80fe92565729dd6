"""Published figures beside ours, from data that is on this disk: `make published` writes reports/published.json.

Data is read from the folder that MOA_ASSETS names and from the cache; nothing is downloaded. A figure is `equal` when
it is the published one within its tolerance, else `outside`, with the reason where one is known.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from moa_graph.errors import MoAError
from moa_graph.evals.alpaca_eval import length_control as length
from moa_graph.evals.alpaca_eval.figures import alpaca_figures, length_data
from moa_graph.evals.data import assets
from moa_graph.evals.data.catalog import catalog
from moa_graph.evals.data.files import Row, read_rows, read_text
from moa_graph.evals.formats.judgebench import judgebench_systems
from moa_graph.evals.formats.wildbench import wildbench_systems
from moa_graph.evals.judge_table import votes
from moa_graph.evals.judge_table.figures import judge_figures, published_judges
from moa_graph.evals.mt_bench.figures import single_figures

OUT = Path("reports/published.json")
Figure = dict[str, Any]
BOARD = "alpaca_eval/leaderboards/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv"
WEIGHTS = "alpaca_eval/leaderboards/glm_weights_length_controlled_v1.csv"
MODELS = ("claude-2", "alpaca-7b", "NullModel", "gpt-3.5-turbo-0301")
OUTPUTS = ("Together-MoA", "Together-MoA-Lite", "alpaca-7b", "NullModel", "claude-2")
OTHER_FIT = {
    "NullModel": "the coefficients file has another fit: a refit on the published verdicts gives the published rate",
    "dbrx-instruct": "the coefficients file seems to have another fit, as NullModel's; no verdicts are on this disk",
}
RECONSTRUCTED = "the table of gamed baselines is a reconstruction"
UNKNOWN = "not known"


def figure(source: str, name: str, published: float, ours: float, tolerance: float, reason: str = UNKNOWN) -> Figure:
    """Return one row of the table."""
    equal = abs(published - ours) <= tolerance
    row = {"source": source, "figure": name, "published": published, "ours": ours, "tolerance": tolerance}
    return {**row, "equal": equal, **({} if equal else {"reason": reason})}


def table(name: str) -> dict[str, Row]:
    """Return the rows of a CSV asset by their first column; nothing when it is not on this disk."""
    if not assets.present(name):
        return {}
    return {row[""]: row for row in csv.DictReader(io.StringIO(assets.text(name)))}


def present_rows(name: str) -> list[Row]:
    """Return the rows of an asset; nothing when it is not on this disk."""
    found = assets.present(name)
    return read_rows(found.path) if found else []


def alpaca_eval_2() -> Iterator[Figure]:
    """Win rates, errors and lengths from annotations; length-controlled rates refitted and from published weights."""
    board = table(BOARD)
    for model in MODELS if board else ():
        if rows := present_rows(f"alpaca_eval/annotations/{model}.json"):
            ours, theirs = alpaca_figures(rows, intervals=False), board[model]
            for name, tolerance in (("win_rate", 1e-8), ("standard_error", 1e-8), ("discrete_win_rate", 1e-8)):
                yield figure("AlpacaEval 2", f"{model} {name}", float(theirs[name]), ours[name], tolerance)
            if (rate := ours["length_controlled_winrate"]) is not None:
                published = float(theirs["length_controlled_winrate"])
                yield figure(
                    "AlpacaEval 2", f"{model} length-controlled, refitted", published, rate, 2e-3, RECONSTRUCTED
                )
    for model in OUTPUTS if board else ():
        if outputs := present_rows(f"alpaca_eval/model_outputs/{model}.json"):
            mean = int(sum(len(row["output"]) for row in outputs) / len(outputs))
            yield figure("AlpacaEval 2", f"{model} avg_length", float(board[model]["avg_length"]), mean, 0)
    yield from _from_weights(board)


def _from_weights(board: dict[str, Row]) -> Iterator[Figure]:
    """Length-controlled rates that follow from the published coefficients and the recovered difficulties.

    The publisher joins difficulties by row number. A model with 804 verdicts has an unreadable one, and its rate is
    over all 805 difficulties; or it lacks a row, and its rate is over the first 804, whichever prompt is missing. Its
    rate is reproduced in either way; the row of the table says which.
    """
    if not board or not assets.present(WEIGHTS):
        return
    try:
        hard = list(length_data().difficulty.values())
    except MoAError:
        return
    weights = length.read_weights(assets.text(WEIGHTS))
    for model in sorted(board.keys() & weights.keys()):
        if published := board[model]["length_controlled_winrate"]:
            name = f"{model} length-controlled, from published weights"
            for n in dict.fromkeys((len(hard), int(float(board[model]["n_total"])))):
                ours = length.predict(weights[model], hard[:n])
                row = figure("AlpacaEval 2", name, float(published), ours, 1e-6, OTHER_FIT.get(model, UNKNOWN))
                if row["equal"]:
                    break
            yield {**row, "difficulties": n}


def alpaca_eval_1() -> Iterator[Figure]:
    """Win rates against text_davinci_003, judged by alpaca_eval_gpt4."""
    for model, row in table("alpaca_eval_1/alpaca_eval_gpt4_leaderboard.csv").items():
        if rows := present_rows_of(f"alpaca_eval_1/annotations/{model}.json"):
            ours = alpaca_figures(rows, intervals=False, length_control=False, whole=False)
            for name in ("win_rate", "standard_error"):
                yield figure("AlpacaEval 1", f"{model} {name}", float(row[name]), ours[name], 1e-8)


def present_rows_of(name: str) -> list[Row]:
    """Return the rows of an asset that the catalogue may not have."""
    known = {entry.name for entry in catalog()}
    return present_rows(name) if name in known else []


def mt_bench() -> Iterator[Figure]:
    """Scores of six models from GPT-4's judgments; the source gives two digits."""
    rows, found = (
        present_rows("mt_bench/gpt-4_single.mamba-zephyr.jsonl"),
        assets.present("mt_bench/published_scores.csv"),
    )
    if not rows or not found:
        return
    ours = single_figures(rows)
    for row in csv.DictReader(io.StringIO(assets.text("mt_bench/published_scores.csv"))):
        values = list(row.values())
        model = next((value for value in values if value in ours), None)
        number = next((float(v) for v in values if v and v.replace(".", "", 1).isdigit()), None)
        if model and number is not None:
            yield figure("MT-Bench", f"{model} score", number, ours[model]["score"], 0.00500001)


def pandalm() -> Iterator[Figure]:
    """Kappas between three humans, and the labels they agree on."""
    rows = present_rows("meta_eval/pandalm_testset-v1.json")
    if not rows:
        return
    humans = votes.humans(rows)
    kappas = judge_figures(humans, [])["humans"]["kappa"]
    for published, (name, ours) in zip((0.85, 0.88, 0.86), sorted(kappas.items()), strict=True):
        yield figure("PandaLM", f"kappa of humans {name}", published, ours, 0.00500001)
    majority = Counter(Counter(pair.votes).most_common(1)[0][0] for pair in humans.pairs.values())
    for published, label in ((105, 1.5), (422, 1.0), (472, 2.0)):
        yield figure("PandaLM", f"majority labels {label:g}", published, majority[label], 0)
    assert len(list(combinations(range(humans.runs), 2))) == 3


def evaluators() -> Iterator[Figure]:
    """Identities of AlpacaEval's evaluator table: of humans and of the longest answer."""
    rows = published_judges()
    for name, other in (("humans", "variance"), ("longest", "bias")):
        if name in rows:
            ours = 100 - (rows[name]["human_agreement"] or 0)
            yield figure("AlpacaEval evaluators", f"{name} {other}", rows[name][other] or 0.0, ours, 1e-9)


JUDGEBENCH = {
    "o1-mini": (58.44, 62.24, 82.14, 78.57, 65.71),
    "Skywork-Reward-Gemma-2-27B": (59.74, 66.33, 83.93, 50.00, 64.29),
    "Skywork-Reward-Llama-3.1-8B": (59.09, 64.29, 76.79, 50.00, 62.29),
    "InternLM2-20B-Reward": (62.34, 69.39, 66.07, 50.00, 63.43),
    "InternLM2-7B-Reward": (56.49, 61.22, 71.43, 50.00, 59.43),
    "GRM-Gemma-2B": (62.99, 53.06, 64.29, 54.76, 59.43),
}
"""Knowledge, reasoning, math, coding, overall: tables 2 and 3 of the JudgeBench paper (arXiv 2410.12784)."""


def judgebench() -> Iterator[Figure]:
    """Accuracies of judges and reward models from their published verdicts; the paper gives two digits."""
    for model, published in JUDGEBENCH.items():
        if rows := present_rows_of(f"judgebench/{model}.jsonl"):
            (ours,) = judgebench_systems(rows).values()
            found = {**ours["groups"], "overall": ours["accuracy"]}
            for name, value in zip(("knowledge", "reasoning", "math", "coding", "overall"), published, strict=True):
                yield figure("JudgeBench", f"{model} {name}", value, found[name], 0.00500001)


def wildbench() -> Iterator[Figure]:
    """Mean scores and WB-Scores of seven models from the published ratings."""
    found = assets.present("wildbench/score.json")
    board = json.loads(read_text(found.path)) if found else {}
    for model, row in board.items():
        if rows := present_rows_of(f"wildbench/scores/{model}.json"):
            (ours,) = wildbench_systems(rows).values()
            yield figure("WildBench", f"{model} score", row["score"], ours["score"], 1e-9)
            yield figure("WildBench", f"{model} WB-Score", row["adjusted_score"], ours["wb_score"], 1e-9)


PARTS = (alpaca_eval_2, alpaca_eval_1, mt_bench, pandalm, evaluators, judgebench, wildbench)


def main() -> int:
    shared = Path("../shared/assets")
    if "MOA_ASSETS" not in os.environ and shared.is_dir():
        os.environ["MOA_ASSETS"] = str(shared)
    rows = [row for part in PARTS for row in part()]
    for row in rows:
        mark = "equal" if row["equal"] else f"outside: {row['reason']}"
        print(f"{row['source']:22} {row['figure']:70} {row['published']:12.6f} {row['ours']:12.6f}  {mark}")
    equal = sum(row["equal"] for row in rows)
    counts = {"figures": len(rows), "equal": equal, "outside": len(rows) - equal}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({**counts, "rows": rows}, indent=2) + "\n")
    print(f"{counts}; {OUT}")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
