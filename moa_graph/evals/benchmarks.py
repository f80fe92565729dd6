"""The published benchmarks: combine their data, their work and their figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.alpaca_eval import figures as alpaca_figures
from moa_graph.evals.alpaca_eval import judge as alpaca_judge
from moa_graph.evals.alpaca_eval import run as alpaca_run
from moa_graph.evals.data import assets
from moa_graph.evals.data.fields import identifier
from moa_graph.evals.data.files import Row, file_digest, read_bytes, read_rows, slug, stem
from moa_graph.evals.engine import RunOptions, choose
from moa_graph.evals.flask import run as flask_run
from moa_graph.evals.flask import scores as flask
from moa_graph.evals.judge import Judge
from moa_graph.evals.jury import name_of
from moa_graph.evals.mt_bench import run as mt_bench_run
from moa_graph.evals.mt_bench import scores as mt_bench_scores
from moa_graph.evals.run_figures import alpaca_run_figures, flask_run_figures, mt_bench_run_figures
from moa_graph.evals.session import Benchmark
from moa_graph.evals.systems.mixture import System
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.evals.systems.recorded import RecordedOutputs, RecordedSystem, SynthesisSystem
from moa_graph.mixture.proposer import is_embedded


@dataclass(frozen=True)
class Setup:
    """The parts that every benchmark is made from.

    Attributes:
        system: The measured system.
        judges: The judge, or the judges of a jury; empty to generate only.
        options: The user's options.
        payer: Makes and records the calls of single models.
        majority: Whether a jury decides by majority, not by its mean.
        temperature: Temperature of every generating call; None for the benchmark's own.
        max_tokens: Maximum answer length in tokens; None for the benchmark's own.
        notify: Called with a line of text before a download.
        data: SHA-256 of every file read so far, by name.
    """

    system: System
    judges: Sequence[Judge]
    options: RunOptions
    payer: Payer
    majority: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    notify: Callable[[str], None] | None = None
    data: dict[str, str] = field(default_factory=dict)

    def rows(self, name: str) -> list[Row]:
        """Return the rows of an asset and note its SHA-256."""
        path = assets.fetch(name, notify=self.notify).path
        self.data[name] = file_digest(path)
        return read_rows(path)

    def text(self, name: str) -> str:
        """Return the text of an asset and note its SHA-256."""
        data = read_bytes(assets.fetch(name, notify=self.notify).path)
        self.data[name] = hashlib.sha256(data).hexdigest()
        return data.decode("utf-8-sig")

    def file(self, path: Path) -> list[Row]:
        """Return the rows of the user's own file and note its SHA-256."""
        rows = read_rows(path)
        self.data[path.name] = file_digest(path)
        return rows

    def judging(self, parameters: Callable[[Judge], Mapping[str, Any]]) -> list[Judge]:
        """Return the judges under a benchmark's parameters."""
        return [judge.under(parameters(judge)) for judge in self.judges]

    @property
    def jury(self) -> dict[str, Any]:
        """The settings of a jury that make it another run."""
        return {"majority": self.majority} if len(self.judges) > 1 else {}

    @property
    def recorded(self) -> Sequence[RecordedOutputs]:
        """The recorded outputs that are measured or synthesized; empty for models."""
        if isinstance(self.system, RecordedSystem):
            return [self.system.drafts]
        return self.system.drafts if isinstance(self.system, SynthesisSystem) else ()

    def require_recorded(self, items: Sequence[Sequence[str]]) -> None:
        """Check that every file of recorded outputs has one for at least one of the items, given by their keys."""
        for each in self.recorded:
            each.require(items)

    @property
    def recorded_models(self) -> list[str]:
        """The models named in recorded outputs, and the names of their files."""
        return [name for each in self.recorded for name in (*each.models, each.name)]


def alpaca(
    setup: Setup, *, reference: Path | None = None, both_orders: bool = False, canary: bool = False
) -> Benchmark[alpaca_run.AlpacaItem]:
    """AlpacaEval 2 against the published reference outputs, or those of `reference`."""
    options = setup.options
    rows = setup.file(reference) if reference else setup.rows(alpaca_figures.REFERENCE)
    items = alpaca_run.items(rows, str(reference or alpaca_figures.REFERENCE))
    judges = setup.judging(weighing)
    constant = setup.rows(alpaca_run.NULL_MODEL)[0]["output"] if canary and judges else None
    work = alpaca_run.Alpaca(
        setup.system,
        judges,
        setup.text(alpaca_run.TEMPLATE) if judges else "",
        options.seed,
        both_orders,
        setup.temperature,
        setup.max_tokens,
        constant,
        setup.majority,
    )
    names = (alpaca_run.OUTPUTS, alpaca_run.ANNOTATIONS, alpaca_run.CANARY)
    chosen = choose(items, lambda item: item.id, options)
    setup.require_recorded([(item.instruction,) for item in chosen])
    generators = list(dict.fromkeys(item.generator for item in items))
    return Benchmark(
        name="alpaca",
        items=chosen,
        identify=lambda item: item.id,
        work=work.work,
        files={name: name for name in names},
        figures=lambda rows: alpaca_run_figures(rows, options),
        system=setup.system,
        judges=judges,
        settings={"both_orders": both_orders, **setup.jury},
        verdicts=(2 if both_orders else 1) * (2 if constant is not None else 1),
        order=[item.id for item in items],
        data=setup.data,
        reference=", ".join(generators),
        kin=[*generators, *setup.recorded_models],
    )


def weighing(judge: Judge) -> Mapping[str, Any]:
    """Return the parameters for a judge that chooses the better of two answers."""
    if judge.reads == "logprobs":
        return alpaca_judge.PARAMETERS
    return alpaca_judge.EMBEDDED_PARAMETERS if is_embedded(judge.spec) else alpaca_judge.TEXT_PARAMETERS


def mt_bench(setup: Setup, *, other: Path | None = None) -> Benchmark[mt_bench_run.MTBenchQuestion]:
    """MT-Bench with single grading; `other`, a FastChat answer file, adds pairwise judging in both orders."""
    options = setup.options
    questions = mt_bench_run.questions(setup.rows(mt_bench_scores.QUESTIONS), setup.rows(mt_bench_run.REFERENCES))
    judges = setup.judging(lambda _: mt_bench_run.PARAMETERS)
    prompts = {row["name"]: row for row in setup.rows(mt_bench_run.PROMPTS)} if judges else {}
    rival = RecordedOutputs.read(other) if other else None
    if other:
        setup.data[other.name] = file_digest(other)
    chosen = choose(questions, lambda question: question.name, options)
    setup.require_recorded([(question.name, question.turns[0]) for question in chosen])
    if rival:
        rival.require([(question.name,) for question in chosen])
    opponent = stem(other) if other else ""
    asked = {identifier(question.id, mt_bench_scores.QUESTIONS, "question_id") for question in chosen}
    tokens = setup.max_tokens or 1024
    work = mt_bench_run.MTBench(setup.system, judges, prompts, rival, opponent, tokens, setup.majority)
    return Benchmark(
        name="mt-bench",
        items=chosen,
        identify=lambda question: question.name,
        work=work.work,
        files=_mt_bench_files(setup.system, judges),
        figures=lambda rows: mt_bench_run_figures(rows, asked),
        system=setup.system,
        judges=judges,
        settings=setup.jury,
        verdicts=3 if rival else 1,
        order=[question.name for question in questions],
        data=setup.data,
        reference=opponent or None,
        kin=[*([opponent, *(rival.models if rival else ())] if opponent else []), *setup.recorded_models],
    )


def _mt_bench_files(system: System, judges: Sequence[Judge]) -> dict[str, str]:
    """Return the file names; FastChat uses the model's name as the file name."""
    who = slug(name_of([judge.name for judge in judges])) if judges else "none"
    return {
        mt_bench_run.ANSWERS: f"model_answer/{slug(system.name)}.jsonl",
        mt_bench_run.JUDGMENTS: f"model_judgment/{who}_single.jsonl",
        mt_bench_run.PAIRS: f"model_judgment/{who}_pair.jsonl",
    }


def flask_bench(setup: Setup, *, hard: bool = False) -> Benchmark[flask.FlaskItem]:
    """FLASK, or its hard subset."""
    options = setup.options
    name = "hard" if hard else "full"
    items = flask.items(setup.rows(flask_run.HARD if hard else flask_run.ITEMS), name=name)
    judges = setup.judging(lambda _: flask_run.PARAMETERS)
    rubrics = flask_run.rubrics(json.loads(setup.text(flask_run.RUBRICS))) if judges else {}
    prompt = flask_run.prompt(setup.rows(flask_run.PROMPTS)) if judges else {}
    keys = _flask_keys(items, setup) if setup.recorded else {}
    work = flask_run.Flask(
        setup.system, judges, prompt, rubrics, setup.temperature, setup.max_tokens, keys, setup.majority
    )
    chosen = choose(items, lambda item: str(item.idx), options)
    setup.require_recorded([(*keys.get(item.idx, ()), item.instruction) for item in chosen])
    return Benchmark(
        name="flask",
        items=chosen,
        identify=lambda item: str(item.idx),
        work=work.work,
        files={flask_run.OUTPUTS: flask_run.OUTPUTS, flask_run.REVIEWS: flask_run.REVIEWS},
        figures=lambda rows: flask_run_figures(rows, chosen),
        system=setup.system,
        judges=judges,
        settings={"set": name, **setup.jury},
        order=[str(item.idx) for item in items],
        data=setup.data,
        kin=setup.recorded_models,
    )


def _flask_keys(items: Sequence[flask.FlaskItem], setup: Setup) -> Mapping[int, tuple[str, ...]]:
    """Return the numbers by which recorded outputs may know each item.

    Both sets number their items from 1. A number without a set is one of the full set, as in the published outputs, so
    an item of the hard set is looked up under the number that its instruction has there.

    Raises:
        InputError: A file for the full set has exactly the hard set's numbers and nothing else to join by.
    """
    if items[0].set == "hard":
        full: dict[str, list[int]] = {}
        for row in setup.rows(flask_run.ITEMS):
            full.setdefault(str(row["instruction"]), []).append(int(row["idx"]))
        numbers = {item.idx: full.get(item.instruction, []) for item in items}
        return {idx: (f"hard/{idx}", *_numbered(found)) for idx, found in numbers.items()}
    for each in setup.recorded:
        if set(each.turns) == {str(number) for number in range(1, flask_run.HARD_ITEMS + 1)}:
            raise InputError(
                f"{each.path}: its numbers are those of FLASK's hard set, and it has no instructions. Use --hard, and "
                'add "set": "hard" to every row'
            )
    return {item.idx: _numbered([item.idx]) for item in items}


def _numbered(found: Sequence[int]) -> tuple[str, ...]:
    return tuple(key for idx in found for key in (f"full/{idx}", str(idx)))
