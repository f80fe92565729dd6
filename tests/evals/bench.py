"""Small benchmarks in their published formats, an asset folder with them, and mixtures of the loopback provider."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from moa_graph.cli import main
from moa_graph.evals.data import assets
from moa_graph.evals.data.catalog import Asset
from tests.provider import Provider

TEMPLATE = """<|im_start|>system
You judge.
<|im_end|>
<|im_start|>user
Instruction: {instruction}
First (m): {output_1}
Second (M): {output_2}
<|im_end|>"""


def references(n: int) -> list[dict[str, str]]:
    """AlpacaEval's reference outputs, `n` of them."""
    return [
        {"dataset": "made", "instruction": f"Question {i}?", "output": f"Reference {i}.", "generator": "ref"}
        for i in range(n)
    ]


QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]},
    {"question_id": 111, "category": "math", "turns": ["1 + {question_1}?", "And twice?"]},
]
REFERENCES = [{"question_id": 111, "choices": [{"index": 0, "turns": ["two", "four"]}]}]
_SINGLE = {
    "single-v1": "Q {question} A {answer}",
    "single-math-v1": "Q {question} R {ref_answer_1} A {answer}",
    "single-v1-multi-turn": "{question_1}|{answer_1}|{question_2}|{answer_2}",
    "single-math-v1-multi-turn": "{ref_answer_1}|{ref_answer_2}|{question_1}|{answer_1}|{question_2}|{answer_2}",
}
_PAIR = {
    "pair-v2": "PAIR {question} A {answer_a} B {answer_b}",
    "pair-math-v1": "PAIR {question} R {ref_answer_1} A {answer_a} B {answer_b}",
    "pair-v2-multi-turn": "PAIR {question_2} A {answer_a_1} {answer_a_2} B {answer_b_1} {answer_b_2}",
    "pair-math-v1-multi-turn": "PAIR {ref_answer_2} A {answer_a_1} {answer_a_2} B {answer_b_1} {answer_b_2}",
}
PROMPTS = [{"name": k, "system_prompt": "You rate.", "prompt_template": v} for k, v in (_SINGLE | _PAIR).items()]
FLASK_ITEMS = [
    {"idx": 5, "instruction": "Add.", "answer": "3", "skill": ["Logical Correctness"], "domain": ["Math"],
     "difficulty": "easy"},
    {"idx": 9, "instruction": "Explain.", "answer": "so", "skill": ["Readability", "Conciseness"],
     "domain": ["Language"], "difficulty": "hard"},
]  # fmt: skip
FLASK_PROMPTS = [
    {"prompt_id": 2, "system_prompt": "You check.", "defaults": {"prompt1": "Rate:", "prompt2": "Then a dictionary."},
     "prompt_template": "{prompt1}{skills}{question}|{sample_answer}|{response}|{prompt2}"}
]  # fmt: skip
RUBRICS = [
    {"Skill": name, "Criteria": "Is it?", "Scoring": {str(n): f"level {n}" for n in range(1, 6)}}
    for name in ("Logical Correctness", "Readability", "Conciseness")
]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def small_assets(folder: Path, monkeypatch: pytest.MonkeyPatch, *, items: int = 6) -> None:
    """Make MOA_ASSETS with a small benchmark of each kind, and a catalogue with their hashes."""
    texts = {
        "alpaca_eval/reference_outputs_gpt4_1106_preview.json": json.dumps(references(items)),
        "alpaca_eval/judge_prompt/alpaca_eval_clf.txt": TEMPLATE,
        "alpaca_eval/model_outputs/NullModel.json": json.dumps([{"instruction": "x", "output": "constant"}]),
        "mt_bench/question.jsonl": lines(QUESTIONS),
        "mt_bench/judge_prompts.jsonl": lines(PROMPTS),
        "mt_bench/reference_answer_gpt-4.jsonl": lines(REFERENCES),
        "flask/flask_evaluation.jsonl": lines(FLASK_ITEMS),
        "flask/flask_hard_evaluation.jsonl": lines(FLASK_ITEMS[1:]),
        "flask/prompt.jsonl": lines(FLASK_PROMPTS),
        "flask/skillset_description.json": json.dumps(RUBRICS),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    absent = (
        "alpaca_eval/df_gamed.csv",
        "alpaca_eval/derived/instruction_difficulty_recovered.csv",
        "alpaca_eval/derived/df_gamed_reconstructed.csv",
        "meta_eval/alpaca_eval_evaluators_leaderboard.csv",
    )
    known = [Asset(name, "free", sha256=hashlib.sha256(text.encode()).hexdigest()) for name, text in texts.items()]
    monkeypatch.setattr(assets, "catalog", lambda: [*known, *(Asset(name, "free", note="absent") for name in absent)])
    monkeypatch.setenv("MOA_ASSETS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


def mixture(
    folder: Path,
    provider: Provider,
    *,
    layers: int = 2,
    prices: float | None = None,
    two: str = "openai:two-tok=4",
    aggregator: str = "openai:agg-tok=6",
    **fields: Any,
) -> Path:
    """A mixture of two proposers and an aggregator on the provider."""
    names = ["openai:one-tok=4", two, aggregator]
    models = [{"model": name, "base_url": provider.url} for name in names]
    data: dict[str, Any] = {"name": "pair", "proposers": models[:2], "aggregator": models[2], "layers": layers}
    data |= fields
    if prices is not None:
        data["prices"] = {name.partition(":")[2]: [prices, prices] for name in [*names, "openai:judge=0.7"]}
    path = folder / "pair.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def moa(*args: object) -> int:
    """Run the command in this process and return its exit code."""
    return main(["eval", *map(str, args)])


def scores(folder: Path) -> dict[str, Any]:
    """A run's figures."""
    found = json.loads((folder / "scores.json").read_text())
    assert isinstance(found, dict)
    return found


def final_bytes(folder: Path) -> dict[str, bytes]:
    """Return the files that must not depend on the time or the number of runs."""
    timed = {"timing.json", "report.md", "report.html"}
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in timed and not p.name.startswith("ledger")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(files)}


def recorded(folder: Path, which: str = "role != 'answer'") -> int:
    """Model calls in the ledger (finished answers of mixtures are not counted); none before
    there is a table."""
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        if not db.execute("SELECT name FROM sqlite_master WHERE name = 'calls'").fetchone():
            return 0
        return int(db.execute(f"SELECT count(*) FROM calls WHERE {which}").fetchone()[0])
