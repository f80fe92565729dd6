"""The graph: wiring only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer

from moa_graph.costs.ledger import Ledger
from moa_graph.graph.nodes import Nodes
from moa_graph.graph.runnables import Node, Route
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.mixture import MAX_LAYERS, Mixture
from moa_graph.models.registry import require_known
from moa_graph.state import MoAInput, MoAOutput, MoAState

MoAGraph = CompiledStateGraph[MoAState, MoAContext, MoAInput, MoAOutput]


def create_moa(
    mixture: Mixture | str | Path | Mapping[str, Any] | None = None,
    /,
    *,
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    name: str = "moa",
    output: Literal["full", "answer"] = "full",
    ledger: Ledger | None = None,
    **fields: Any,
) -> MoAGraph:
    """A compiled graph that answers `{"messages": [...]}` with a mixture of agents.

    Args:
        mixture: a `Mixture`, a preset's name, a YAML or TOML file, or a mapping. Not needed when `fields`
        say it all. checkpointer: as for any LangGraph graph; leave it out under `langgraph dev`. store: as
        for any LangGraph graph. name: of the graph, its root span and its node in a parent. output: "full"
        returns messages, drafts and record; "answer" messages alone, for tools and parents. ledger: where
        paid calls are recorded, and looked up before they are made. fields: fields of `Mixture`; they go
        over what `mixture` says.

    Raises:
        ConfigError: the mixture is wrong; nothing has been sent.
    """
    whole = Mixture.load(mixture, **fields)
    for spec in whole.specs:
        require_known(spec)
    graph = _wired(whole, output, ledger).compile(checkpointer=checkpointer, store=store, name=name)
    stamp = {"ls_integration": "moa_graph", "moa_preset": whole.name or "", "moa_mixture": whole.hash}
    # LangGraph's own limit would let a wrong route run 10,007 steps.
    return graph.with_config(recursion_limit=2 * MAX_LAYERS + 10, metadata=stamp)


def _wired(
    mixture: Mixture, output: Literal["full", "answer"], ledger: Ledger | None
) -> StateGraph[MoAState, MoAContext, MoAInput, MoAOutput]:
    nodes = Nodes(mixture, ledger)
    names = [node.name for node in mixture.plan[0]]
    shown: type[Any] = MoAOutput if output == "full" else MoAInput
    graph = StateGraph(MoAState, MoAContext, input_schema=MoAInput, output_schema=shown)
    graph.add_node("begin", Node("begin", nodes.begin))
    for name, spec in mixture.plan[0]:
        graph.add_node(name, Node(name, nodes.propose(name, spec)))
        # A plain edge each: whichever of them run in a step, `gather` runs once in the next.
        graph.add_edge(name, "gather")
    graph.add_node("gather", Node("gather", nodes.gather))
    graph.add_node("aggregate", Node("aggregate", nodes.aggregate))
    graph.add_edge(START, "begin")
    for source in ("begin", "gather"):
        graph.add_conditional_edges(source, _next_round(mixture), [*names, "aggregate"])
    graph.add_edge("aggregate", END)
    return graph


def _next_round(mixture: Mixture) -> Route:
    """The next round's proposers, or the aggregator when the last layer is reached: total and pure."""

    def next_round(state: MoAState) -> list[str]:
        layer = state["layer"]
        return mixture.round_nodes(layer) if layer < state["run"]["layers"] else ["aggregate"]

    return Route("next_round", next_round)
