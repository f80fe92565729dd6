"""The graph: wiring only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import update_wrapper
from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.cache.base import BaseCache
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.stream.transformers import CustomTransformer
from langgraph.types import All, Checkpointer

from moa_graph.costs.call_log import CallLog
from moa_graph.errors import ConfigError
from moa_graph.graph.background import until_left
from moa_graph.graph.checks.state import check_next
from moa_graph.graph.delta_state import DeltaInput, DeltaOutput, DeltaState
from moa_graph.graph.nodes import Node, Nodes, NodeStream
from moa_graph.graph.runs import NOT_BEGUN
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.context_schema import context_schema
from moa_graph.mixture.fields import ContextFields, GraphFields
from moa_graph.mixture.mixture import MAX_LAYERS, Mixture
from moa_graph.models.registry import require_known
from moa_graph.state import MoAInput, MoAOutput, MoAState
from moa_graph.state.updates import UpdateError
from moa_graph.state.value_text import given

MoAGraph: TypeAlias = CompiledStateGraph[MoAState, MoAContext | ContextFields, MoAInput, MoAOutput]
"""What `create_moa` returns. A run's context may be a `MoAContext` or a mapping of its fields."""

_SCHEMAS: dict[str, tuple[type[Any], type[Any], type[Any]]] = {
    "whole": (MoAState, MoAInput, MoAOutput),
    "delta": (DeltaState, DeltaInput, DeltaOutput),
}
"""State, input and output, by `history`."""


def create_moa(
    mixture: Mixture | str | Path | Mapping[str, Any] | None = None,
    /,
    *,
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    name: str = "moa",
    output: Literal["full", "answer"] = "full",
    history: Literal["whole", "delta"] = "whole",
    ledger: CallLog | None = None,
    interrupt_before: All | list[str] | None = None,
    interrupt_after: All | list[str] | None = None,
    cache: BaseCache[Any] | None = None,
    transformers: Sequence[Callable[[tuple[str, ...]], Any]] = (),
    debug: bool = False,
    **fields: Unpack[GraphFields],
) -> MoAGraph:
    """Build the graph of a mixture of agents.

    The graph takes `{"messages": ...}`: a text, a message, or a list of messages. It returns the messages with the
    answer appended, the drafts, a combiner's notes and the record of the run.

    Examples:
        create_moa("local")
        create_moa("together", layers=3, quorum=2)
        create_moa(proposers=["openai:gpt-6.1-sol", my_model], aggregator="openai:gpt-6.1-sol")

    Args:
        mixture: A `Mixture`, a preset's name, the path of a YAML or TOML file, or a mapping of fields. Leave it out
            when `fields` describe the whole mixture.
        checkpointer: Saves the state of each thread, as for any LangGraph graph. Leave it out under `langgraph dev`,
            which brings its own.
        store: Long-term memory, as for any LangGraph graph.
        name: The name of the graph, of its root span, and of its node in a parent graph.
        output: "full" returns messages, drafts, notes and record. "answer" returns messages only, for tools and
            parent graphs.
        history: How a checkpoint holds the thread's messages. "whole" repeats all of them at every turn, as LangGraph
            does by default. "delta" holds those of the turn, for long threads; LangGraph's `DeltaChannel`, which is
            in beta there, does it. A thread that was begun with "whole" can go on with "delta", not the reverse.
        ledger: Records every paid call, and answers a call that it has recorded before.
        interrupt_before: Names of nodes to pause before, or "*", as for `StateGraph.compile`.
        interrupt_after: Names of nodes to pause after, or "*".
        cache: A cache of node results, as for `StateGraph.compile`.
        transformers: Further transformers of v3 event streams. The one for custom events is always there, so that
            `astream_events(version="v3")` and the SDKs' `threads.stream` carry this package's events.
        debug: Print what each step does.
        **fields: Fields of `Mixture`, such as `proposers`, `aggregator`, `layers`, `prompt` and `deadline`. They
            replace what `mixture` says. docs/mixtures.md describes all fields.

    Returns:
        A compiled LangGraph graph. `MoAContext` lists what a single run may change.

    Raises:
        ConfigError: The mixture or an argument is wrong. No request has been sent.
    """
    for argument, value, known in (("output", output, ("full", "answer")), ("history", history, _SCHEMAS)):
        if value not in known:
            raise ConfigError(f"{argument}: {value!r} is unknown. Choose one of: {', '.join(known)}.")
    recorded: object = ledger  # callers without a type checker give its path
    if isinstance(recorded, (str, Path)):
        way_out = f"Write Ledger({str(recorded)!r}, run=...), with Ledger from moa_graph"
        raise ConfigError(f"ledger: expected a ledger, got {given(str(recorded))}. {way_out}.")
    whole = Mixture.load(mixture, **fields)
    for spec in whole.specs:
        require_known(spec)
    graph = _wired(whole, output, history, Nodes(whole, ledger, saved=checkpointer is not False)).compile(
        checkpointer,
        store=store,
        name=name,
        interrupt_before=interrupt_before,
        interrupt_after=interrupt_after,
        cache=cache,
        debug=debug,
        transformers=[CustomTransformer, *transformers],
    )
    # The class has the same fields; every copy of the graph keeps it.
    graph.__class__ = _MoAGraph
    stamp = {"ls_integration": "moa_graph", "moa_preset": whole.name or "", "moa_mixture": whole.hash}
    # LangGraph's own limit would let a wrong route run 10,007 steps.
    return graph.with_config(recursion_limit=2 * MAX_LAYERS + 10 + whole.steps(), metadata=stamp)


def create_last_steps(mixture: Mixture, *, ledger: CallLog | None = None) -> MoAGraph:
    """Build the graph of what follows a mixture's last round, for drafts that exist already.

    Its input is the whole state: messages, the drafts of `layer`, `next` with the nodes of that round, and `run`.
    """
    for spec in mixture.specs:
        require_known(spec)
    graph = _wired(mixture, "full", "whole", Nodes(mixture, ledger), recorded=True).compile(
        name="moa", transformers=[CustomTransformer]
    )
    return graph.with_config(recursion_limit=10 + mixture.steps())


def _wired(
    mixture: Mixture,
    output: Literal["full", "answer"],
    history: Literal["whole", "delta"],
    nodes: Nodes,
    *,
    recorded: bool = False,
) -> StateGraph[MoAState, MoAContext | ContextFields, MoAInput, MoAOutput]:
    names = [node.name for node in mixture.plan.nodes]
    state, asked, answered = _SCHEMAS[history]
    shown = answered if output == "full" else asked
    graph: StateGraph[MoAState, MoAContext | ContextFields, MoAInput, MoAOutput] = StateGraph(
        state, context_schema(mixture), input_schema=state if recorded else asked, output_schema=shown
    )
    graph.add_node("begin", Node("begin", nodes.take_up if recorded else nodes.begin))
    for name, spec in mixture.plan.nodes:
        graph.add_node(name, Node(name, nodes.propose(name, spec)))
        # A plain edge each: whichever of them run in a step, `gather` runs once in the next.
        graph.add_edge(name, "gather")
    own = {name: work for each in nodes.combiners.values() for name, work in each.nodes(mixture).items()}
    for name, work in own.items():
        graph.add_node(name, Node(name, nodes.combine(work)))
        graph.add_edge(name, "gather")
    graph.add_node("gather", Node("gather", nodes.gather))
    graph.add_node("aggregate", Node("aggregate", nodes.aggregate))
    graph.add_edge(START, "begin")
    following = [*names, *own, "aggregate"]
    for source in ("begin", "gather"):
        graph.add_conditional_edges(source, _Next(following), following)
    graph.add_edge("aggregate", END)
    return graph


class _MoAGraph(CompiledStateGraph[MoAState, MoAContext | ContextFields, MoAInput, MoAOutput]):
    """A compiled graph that a notebook shows without the network (LangGraph's own display asks mermaid.ink).

    A sync caller may leave its stream early, as an async one may. A caller that is cancelled several times leaves no
    call behind.
    """

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Stream a run as LangGraph does. The running model calls end when the caller leaves the stream early."""
        return until_left(super().stream(*args, **kwargs))

    def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Stream a run as LangGraph does. The running model calls end with it, however the caller is cancelled."""
        return NodeStream(cast("AsyncGenerator[Any]", super().astream(*args, **kwargs)))

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Return the graph as text, and as Mermaid in Markdown, which JupyterLab and VS Code draw themselves."""
        nodes = ", ".join(name for name in self.nodes if name != START)
        drawing = self.get_graph().draw_mermaid()
        return {
            "text/plain": f"<{self.get_name()}: a compiled LangGraph graph of {nodes}>",
            "text/markdown": f"```mermaid\n{drawing}```\n",
        }


for _name in ("stream", "astream"):
    # Programs look into the signature for what the installed LangGraph takes, such as `durability`.
    update_wrapper(getattr(_MoAGraph, _name), getattr(CompiledStateGraph, _name), assigned=(), updated=())


class _Next(Runnable[MoAState, list[str]]):
    """The nodes that `begin` or `gather` chose: total and pure. No span of its own, and no thread in async runs."""

    name = "next"

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)

    def invoke(self, input: MoAState, config: RunnableConfig | None = None, **kwargs: Any) -> list[str]:
        if "next" not in input:  # a person updates the state of a new thread as one of the two
            raise UpdateError(NOT_BEGUN)
        check_next(input["next"], self._known)
        return input["next"]

    async def ainvoke(self, input: MoAState, config: RunnableConfig | None = None, **kwargs: Any) -> list[str]:
        return self.invoke(input, config, **kwargs)
