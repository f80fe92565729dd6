"""The last node's work: the answer, written by the aggregator, by a fallback or taken from a draft, and the record."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from moa_graph.errors import BudgetError, DeadlineError, MoAError
from moa_graph.graph.combine.base import Decision, apart
from moa_graph.graph.events import Tokens
from moa_graph.graph.limits import late, refuse_over_budget
from moa_graph.graph.records import Calls, answer_of, best_draft, compared, no_answer, record_of, verbatim_answer
from moa_graph.graph.runs import Run
from moa_graph.graph.slot import SlotCall
from moa_graph.graph.targets import AGGREGATOR
from moa_graph.mixture.combiner import PlannedCall
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import Record

__all__ = ["answered"]


async def answered(run: Run, config: RunnableConfig, decision: Decision) -> tuple[AIMessage, Record]:
    """Return the answer and the record of a run.

    Args:
        run: The run.
        config: The node's config.
        decision: What the combiner decided.

    Raises:
        AggregationError: No model wrote an answer, and the mixture does not take a draft for it.
        BudgetError: The caps leave no room for the answer, and the combiner planned one.
        DeadlineError: The run's deadline is over, and the combiner planned an answer of the aggregator's.
    """
    calls, drafts = Calls(), run.state["drafts"]
    error = None
    if decision.answer or decision.text is not None:
        message = _verbatim(run, decision)
    else:
        error = await _synthesize(run, config, decision, calls)
        if error is None:
            message = answer_of(calls.made[-1][1])
        elif decision.drafts and (run.settings.mixture.on_failure == "best_draft" or _unplanned(run, error, calls)):
            message = await apart(drafts, partial(best_draft, decision.drafts))
            decision = replace(decision, degraded=[*decision.degraded, str(error).rstrip(".")])
        else:
            error.cost = calls.cost
            raise error
    # After the call: the answer's first token does not wait for it.
    alike = await apart(drafts, lambda: compared(drafts))
    return message, record_of(run, calls, decision, alike, best=error is not None)


def _unplanned(run: Run, error: MoAError, calls: Calls) -> bool:
    """Return whether an error is that of a limit which left no room for an answer that the combiner did not plan.

    `synthesize` reserves its call; a combiner that answers with a draft does not, and finds out late that it needs one.
    """
    limited = isinstance(error, BudgetError | DeadlineError) and not calls.made
    return limited and not run.settings.answering()


def _verbatim(run: Run, decision: Decision) -> AIMessage:
    """Return an answer that no model writes now, and stream it as one piece."""
    draft = decision.answer
    message = verbatim_answer(run, decision)
    used = [draft["slot"]] if draft else [each["slot"] for each in decision.drafts]
    model = draft["model"] if draft else run.settings.aggregator.label
    run.emit({"moa": "aggregating", "model": model, "used": used})
    if run.settings.context.stream_answer:
        run.emit({"moa": "answer_token", "text": str(message.content)})
    return message


async def _synthesize(run: Run, config: RunnableConfig, decision: Decision, calls: Calls) -> MoAError | None:
    """Call the aggregator and then its fallbacks until one answers; return the error when none does."""
    state, wanted = run.state, run.settings
    texts = len(decision.shown.texts) + len(decision.shown.notes)
    try:
        await refuse_over_budget(
            run, lambda: [PlannedCall(wanted.aggregator, state["layer"], AGGREGATOR, texts)], what="the answer"
        )
    except BudgetError as exc:
        return exc
    before = sum(1 for each in (*state["drafts"], *state.get("notes", [])) if each["attempts"])
    chain = (wanted.aggregator, *wanted.mixture.fallbacks)
    for place, spec in enumerate(chain):
        if run.over:
            return late(run, calls.reasons)
        if calls.made and wanted.max_calls is not None and before + calls.sent >= wanted.max_calls:
            return BudgetError(f"max_calls is {wanted.max_calls}. {calls.reasons}", drafts=state["drafts"])
        call = _call(run, config, spec, decision, shares=len(chain) - place)
        await call.send()
        calls.add(call)
        if call.outcome.counts:
            return None
    return late(run, calls.reasons) if run.over else no_answer(calls, state["drafts"])


def _call(run: Run, config: RunnableConfig, spec: Proposer, decision: Decision, *, shares: int) -> SlotCall:
    """Return the call of an aggregator, and emit that it begins."""
    used = [draft["slot"] for draft in decision.drafts]
    event = {"moa": "aggregating", "model": spec.label, "used": used}

    def started() -> None:
        # Emitted again when a stream broke or a fallback is called: what was streamed before is void.
        run.emit(event)

    started()
    restart = {**event, "restart": "reasoning"}
    streams = run.settings.context.stream_answer
    return SlotCall(
        run=run,
        spec=spec,
        layer=run.state["layer"],
        slot=0,
        role=AGGREGATOR,
        shown=decision.shown,
        config=config,
        shares=shares,
        sink=(lambda: Tokens(run.emit, {"moa": "answer_token"}, restart)) if streams else None,
        on_restart=started,
    )
