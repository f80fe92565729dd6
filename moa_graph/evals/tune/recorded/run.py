"""`tune` on a recorded set: no network, no cost; what was not recorded is not tried."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from moa_graph.costs.spending_cap import SpendingCap
from moa_graph.evals.prompts.run import PromptsWork
from moa_graph.evals.systems.mixture import ModelSystem
from moa_graph.evals.systems.paid_calls import Payer
from moa_graph.evals.tune.candidates import LARGEST, CandidatePlan
from moa_graph.evals.tune.decide import Decider
from moa_graph.evals.tune.files import open_folder, write_files
from moa_graph.evals.tune.grading import Grader, Grading
from moa_graph.evals.tune.recorded.models import named_pool, recorded_pool
from moa_graph.evals.tune.recorded.read import read_recorded
from moa_graph.evals.tune.recorded.recorded_set import RecordedSet
from moa_graph.evals.tune.result import TuneResult
from moa_graph.evals.tune.sampling import Paying
from moa_graph.evals.tune.settings import Options, StageProgress, check_options, run_hash
from moa_graph.evals.tune.shared_ledger import SharedLedger

__all__ = ["tune_recorded"]


async def tune_recorded(path: Path, options: Options, *, progress: StageProgress | None = None) -> TuneResult:
    """Find out whether a mixture of recorded models is worth it on the recorded questions.

    Votes, medoids and escalations are computed from the drafts; verdicts of peers are replayed where they were
    recorded. The graph of the best free candidate answers every question from the recording, as a check.

    Args:
        path: A file of drafts, or a folder of final answers.
        options: Seed, worth and folder; limit and cap have no effect.
        progress: Shown after every question.

    Raises:
        InputError: The set cannot be read.
    """
    check_options(options)
    recorded = read_recorded(path)
    pool = recorded_pool(recorded)
    run = run_hash(recorded.prompts, named_pool(recorded), options, {"recorded": recorded.name})
    if options.out:
        open_folder(options.out, run)
    with tempfile.TemporaryDirectory() as folder, SharedLedger(Path(folder) / "replayed.db", run=run) as ledger:
        grading = Grading(
            PromptsWork(ModelSystem(pool.models[0], Payer(ledger))), lambda p, text: recorded.score(p, text)
        )
        decider = Decider(
            recorded.samples,
            recorded.prompts,
            pool,
            options,
            Paying(ledger, SpendingCap(None), Grader(grading), options.concurrency, progress),
            texts=recorded.texts,
            named=named_pool(recorded),
            tried=lambda plan: _recorded(plan, recorded),
            subset=range(len(recorded.models)) if len(recorded.models) <= LARGEST else None,
        )
        notes = _notes(recorded)
        asked = {"recorded": recorded.name, "models": recorded.models, "seed": options.seed, "worth": options.worth}
        found = await decider.decide(run, cautions=notes, settings=asked)
    found = dataclasses.replace(found, folder=options.out)
    if options.out:
        write_files(found, options.out)
    return found


def _notes(recorded: RecordedSet) -> list[str]:
    found = []
    if recorded.dropped:
        found.append(f"questions left out because a model has no answer to them: {recorded.dropped}")
    if recorded.repeated:
        found.append(f"rows that repeat a question and were added to it: {recorded.repeated}")
    return found


def _recorded(plan: CandidatePlan, recorded: RecordedSet) -> bool:
    """Return whether the calls of a plan were recorded: verdicts of all members on all of their drafts."""
    peers = isinstance(plan.combine, dict) and plan.combine.get("by") == "peers"
    return peers and all(recorded.models[member] in recorded.judges for member in plan.members)
