"""One server for most tests here: mixtures that answer, fail, hang and call tools."""

from collections.abc import Iterator

import pytest

from moa_graph import Mixture
from tests.provider import Provider
from tests.serving import Served, mixture, model


@pytest.fixture(scope="session")
def served(provider_server: Provider) -> Iterator[Served]:
    """`good` answers, `prompt` answers with the aggregator's request, the others fail like their names."""
    drafts = ("one-say=draft%20one", "two-say=draft%20two")
    mixtures = {
        "good": mixture(provider_server, *drafts, aggregator="agg-say=the%20whole%20answer"),
        "prompt": mixture(provider_server, *drafts, aggregator="agg-prompt"),
        "tools": mixture(provider_server, *drafts, aggregator="agg"),
        "short": mixture(provider_server, *drafts, aggregator="agg-length"),
        "partial": mixture(provider_server, drafts[0], "bad-err401", aggregator="agg-say=ok"),
        "none": mixture(provider_server, "bad-err401", "worse-quota", aggregator="agg-say=ok"),
        "noagg": mixture(provider_server, *drafts, aggregator="agg-err500"),
        "cut": mixture(provider_server, *drafts, aggregator="agg-cut"),
        "spare": mixture(
            provider_server,
            *drafts,
            aggregator="agg-cut-tok=20",
            fallbacks=[model(provider_server, "spare-say=the%20spare%20answer")],
        ),
        "hang": mixture(provider_server, drafts[0], "two-hang", aggregator="agg-say=ok", deadline=30),
        "toolless": Mixture(
            proposers=[model(provider_server, each) for each in drafts], aggregator="local:smollm2", max_attempts=1
        ),
    }
    with Served(mixtures) as server:
        yield server


@pytest.fixture(scope="session")
def commenting(provider_server: Provider) -> Iterator[Served]:
    """A server that sends a comment after a tenth of a second of silence, with mixtures that take longer."""
    mixtures = {
        "late": mixture(provider_server, "one-say=draft", aggregator="agg-500ms-err500"),
        "slow": mixture(provider_server, "one-500ms", aggregator="agg-ttft=50-tps=100-tok=10"),
    }
    with Served(mixtures, heartbeat=0.1) as server:
        yield server
