"""PandaLM's test set in the form of AlpacaEval's analyzer."""

from pathlib import Path
from typing import Any

from moa_graph.evals.data.files import Row, read_rows

KEYS = ("instruction", "output_1", "output_2")


def joined_by_text(assets: Path) -> tuple[list[Row], list[Row]]:
    """The votes of three humans and the verdicts of PandaLM-7B in AlpacaFarm's form, where pairs are their texts.

    Some pairs occur twice; the judge's first verdict on them counts.
    """
    meta_eval = assets / "meta_eval"
    verdicts = {r["idx"]: r["pandalm_result"] for r in read_rows(meta_eval / "pandalm_pandalm-7b-testset-v1.json.gz")}
    humans: list[Row] = []
    judge: dict[tuple[str, ...], Row] = {}
    for row in read_rows(meta_eval / "pandalm_testset-v1.json.gz"):
        base: dict[str, Any] = {
            "instruction": f"{row['instruction']}\n\n{row['input']}",
            "output_1": str(row["response1"]),
            "output_2": str(row["response2"]),
            "generator": row["cmp_key"],
            "datasplit": "eval",
            "price_per_example": 0.3,
            "time_per_example": 36.8,
        }
        humans += [{**base, "preference": row[f"annotator{n}"] or 1.5, "annotator_index": n} for n in (1, 2, 3)]
        judge.setdefault(tuple(base[key] for key in KEYS), {**base, "preference": verdicts[row["idx"]] or 1.5})
    return humans, list(judge.values())
