"""Checks of a mixture as a whole: its rounds, counts and combiners fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from moa_graph.errors import ConfigError
from moa_graph.mixture.combiner import Combiner
from moa_graph.mixture.plan import Plan, refuse_duplicates
from moa_graph.mixture.proposer import MAX_NODES, Proposer

__all__ = ["check_combiners", "check_count", "check_nodes", "check_quorum", "check_rounds", "check_sees"]


def check_rounds(
    proposers: Sequence[Proposer], rounds: Sequence[Sequence[Proposer]], *, layers: int | None, most: int
) -> None:
    """Refuse rounds that are missing, given twice, too many, or do not match `layers`.

    Args:
        proposers: The proposers of every round.
        rounds: The proposers of each round.
        layers: The number of layers that the user gave, if any.
        most: The most layers of a mixture.

    Raises:
        ConfigError: Names the field, the reason and the way out.
    """
    if bool(proposers) == bool(rounds):
        raise ConfigError("mixture: give either `proposers` (the same in every round) or `rounds`, and at least one.")
    if rounds and layers is not None and layers != len(rounds) + 1:
        raise ConfigError(
            f"mixture.layers: expected {len(rounds) + 1}, one for each round and one for the aggregator, "
            f"got {layers}. Leave `layers` out."
        )
    if len(rounds) >= most:
        raise ConfigError(f"mixture.rounds: at most {most - 1}, got {len(rounds)}.")
    for specs in rounds or [proposers]:
        refuse_duplicates(specs)


def check_count(place: str, wanted: int | None, smallest: int) -> None:
    """Refuse a number of drafts, `quorum` or `min_drafts`, that a round cannot give.

    Args:
        place: The field, as messages name it.
        wanted: The number; None for no such number.
        smallest: The slots of the smallest round.

    Raises:
        ConfigError: Names the field, the reason and the way out.
    """
    if wanted is not None and wanted > smallest:
        raise ConfigError(f"{place}: {wanted} drafts wanted, but a round gives only {smallest}. Lower it.")


def check_quorum(place: str, quorum: int | None, min_drafts: int) -> None:
    """Refuse a quorum that closes a round before it has enough drafts.

    Args:
        place: The field, as messages name it.
        quorum: The counted drafts that close a round; None for no such number.
        min_drafts: The counted drafts that a round needs.

    Raises:
        ConfigError: Names both numbers.
    """
    if quorum is not None and quorum < min_drafts:
        raise ConfigError(
            f"{place}: a quorum of {quorum} would close a round before its min_drafts of {min_drafts}. Raise the "
            "quorum, or lower min_drafts."
        )


def check_nodes(plan: Plan) -> None:
    """Refuse more proposer nodes than a graph may have.

    Raises:
        ConfigError: Names the number and the most.
    """
    if len(plan.nodes) > MAX_NODES:
        raise ConfigError(f"mixture: {len(plan.nodes)} proposer nodes; the most is {MAX_NODES}.")


def check_combiners(combiners: Sequence[Combiner], rounds: Sequence[Sequence[Proposer]]) -> None:
    """Refuse combiners that are listed twice or cannot work with these rounds.

    Args:
        combiners: The mixture's own and the further ones.
        rounds: The proposers of each round, one per slot.

    Raises:
        ConfigError: Names the field, the reason and the way out.
    """
    for name, times in Counter(each.name for each in combiners).items():
        if times > 1:
            raise ConfigError(f"mixture.combiners: {name} is listed twice. A run chooses a combiner by its name.")
    for each in combiners:
        refuse_duplicates(each.roster)
        each.refuse_misfit(rounds)


def check_sees(rounds: Sequence[Sequence[object]], sees: int | Sequence[int | None] | None) -> None:
    """Refuse values of `sees` with which some draft would be shown to no slot of the next round.

    Args:
        rounds: The slots of each round.
        sees: How many drafts of the round before a slot is shown, for all rounds or for each; None means all.

    Raises:
        ConfigError: Names the number that is needed.
    """
    if isinstance(sees, Sequence) and len(sees) != len(rounds):
        raise ConfigError(f"mixture.sees: {len(sees)} numbers for {len(rounds)} rounds. Give one for each.")
    each_sees = sees if isinstance(sees, Sequence) else [sees] * len(rounds)
    for before, slots, most in zip(rounds, rounds[1:], each_sees[1:], strict=False):
        if most is not None and most * len(slots) < len(before):
            raise ConfigError(
                f"mixture.sees: a round ({len(slots)} x {most} drafts shown) cannot see all {len(before)} drafts. "
                f"Set it to {-(-len(before) // len(slots))} or more."
            )
