"""Mixtures and their parts are printed without defaults."""

from moa_graph import Mixture, MoAContext, Proposer


def test_defaults_are_left_out() -> None:
    assert repr(Proposer("local:smollm2", temperature=0.5)) == "Proposer(model='local:smollm2', temperature=0.5)"
    assert str(Proposer("local:smollm2")) == "model='local:smollm2'"
    assert repr(MoAContext(layers=3)) == "MoAContext(layers=3)"
    whole = Mixture(proposers=["local:smollm2"], aggregator="local:smollm2", layers=3, combine="vote")
    assert repr(whole) == (
        "Mixture(proposers=[Proposer(model='local:smollm2')], aggregator=Proposer(model='local:smollm2'), layers=3, "
        "combine=Vote())"
    )
