"""The context of a run: its own fields are validated, keys of other programs are ignored with a warning."""

import logging
from typing import Any

import pytest

from moa_graph import ConfigError, MoAContext, create_moa
from tests.fakes import fake

HOSTS = {"thread_id": "t", "user_id": "u", "checkpoint_ns": "", "run_id": "r", "__pregel_store": None, "copilotkit": {}}
"""Keys as CopilotKit, AG-UI and the Agent Server put them into a run's configuration."""


async def test_keys_of_a_host_framework_pass_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    model = fake("x")
    graph = create_moa(proposers=[model], aggregator=model)
    with caplog.at_level(logging.WARNING, logger="moa_graph.context"):
        done = await graph.ainvoke({"messages": "hi"}, context={**HOSTS, "layers": 1})  # type: ignore[arg-type]  # foreign keys
    assert done["record"]["layers"] == 1
    assert "'thread_id'" in caplog.text and "'layers'" not in caplog.text


@pytest.mark.parametrize("key", ["layer", "maxCost", "max-cost", "temprature", "quroum", "stream_answers", "max_token"])
def test_misspelled_fields_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown field '{key}'. Did you mean"):
        MoAContext(**{key: 1})


@pytest.mark.parametrize("key", ["proposers", "fallbacks", "model", "base_url", "api_key", "api_key_env", "params"])
def test_fields_of_the_mixture_are_refused_and_their_values_not_repeated(key: str) -> None:
    given: dict[str, Any] = {"layers": 2, key: "sk-planted-12345678"}
    with pytest.raises(ConfigError, match=f"'{key}' belongs to the mixture") as caught:
        MoAContext(**given)
    assert "planted" not in str(caught.value)


def test_the_schema_of_a_graph_lists_its_own_models_and_combiners() -> None:
    first, second = fake("first"), fake("second")
    graph = create_moa(
        proposers=[{"model": first, "name": "ann"}, {"model": second, "name": "bob"}],
        aggregator={"model": second, "name": "bob"},
        combine="vote",
        combiners=["synthesize"],
    )
    fields = graph.get_context_jsonschema()["properties"]  # type: ignore[index]  # it has a context
    assert fields["aggregator"]["anyOf"][0]["enum"] == ["bob", "ann"]
    assert fields["combine"]["anyOf"][0]["enum"] == ["vote", "synthesize"]
    assert fields["aggregator"]["langgraph_nodes"] == ["aggregate"]
    assert fields["system"]["langgraph_nodes"] == ["p0-ann", "p1-bob", "aggregate"]
    assert "enum" not in MoAContext.model_json_schema()["properties"]["aggregator"]["anyOf"][0]


async def test_every_name_in_the_schema_is_taken_by_a_run() -> None:
    model = fake("x")
    graph = create_moa(proposers=[{"model": model, "name": "ann"}], aggregator=model, combiners=["vote"])
    fields = graph.get_context_jsonschema()["properties"]  # type: ignore[index]  # it has a context
    for name in ("aggregator", "combine"):
        for choice in fields[name]["anyOf"][0]["enum"]:
            done = await graph.ainvoke({"messages": "hi"}, context={name: choice})  # type: ignore[misc]  # its name is a variable
            assert done["record"]["aggregator" if name == "aggregator" else "combine"]
    with pytest.raises(ConfigError, match="not a model of this mixture"):
        await graph.ainvoke({"messages": "hi"}, context={"aggregator": "other"})


async def test_a_context_whose_quorum_is_below_the_needed_drafts_is_refused() -> None:
    graph = create_moa(proposers=[fake("a"), fake("b"), fake("c")], aggregator=fake("z"), min_drafts=2)
    with pytest.raises(ConfigError, match="a quorum of 1 would close a round before its min_drafts of 2"):
        await graph.ainvoke({"messages": "hi"}, context={"quorum": 1})


def test_a_context_with_thousands_of_keys_is_refused_at_once() -> None:
    """Each unknown key is compared with the fields: ten thousand of them stopped the event loop for a second."""
    with pytest.raises(ConfigError, match="at most 200 keys, got 10,000"):
        MoAContext(**{f"key{n}": 1 for n in range(10_000)})
    MoAContext(**{f"key{n}": 1 for n in range(200)})
    with pytest.raises(ConfigError) as refused:
        MoAContext(**{"max_cos" + "t" * 100_000: 1, "layers": 0})
    assert len(str(refused.value)) < 1000
