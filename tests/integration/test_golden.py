"""The requests of the paper's prompt, byte for byte, as the loopback provider received them."""

import asyncio
from typing import Any

import pytest

from moa_graph import Mixture, create_moa
from moa_graph.graph.build import MoAGraph
from moa_graph.graph.prompts.prompts import PAPER
from tests.provider import Provider

QUESTION = {"role": "user", "content": "Why is the sky blue?"}


def graph_of(provider: Provider, *proposers: str, aggregator: str = "say=final", **fields: Any) -> MoAGraph:
    specs = [{"model": f"openai:{name}", "base_url": provider.url} for name in proposers]
    last = {"model": f"openai:{aggregator}", "base_url": provider.url}
    return create_moa(proposers=specs, aggregator=last, **{"prompt": "paper", **fields})


def sent(provider: Provider, model: str) -> list[list[dict[str, Any]]]:
    return [request.json["messages"] for request in provider.requests(model)]


async def test_no_system_message(provider: Provider) -> None:
    await graph_of(provider, "say=one", "say=two").ainvoke({"messages": [QUESTION]})
    assert sent(provider, "say=one") == [[QUESTION]]
    assert sent(provider, "say=final") == [[{"role": "system", "content": PAPER + "\n1. one\n2. two"}, QUESTION]]


async def test_the_callers_system_message_comes_first(provider: Provider) -> None:
    own = {"role": "system", "content": "Answer in verse."}
    await graph_of(provider, "say=one").ainvoke({"messages": [own, QUESTION]})
    assert sent(provider, "say=one") == [[own, QUESTION]]
    expected = "Answer in verse.\n\n" + PAPER + "\n1. one"
    assert sent(provider, "say=final") == [[{"role": "system", "content": expected}, QUESTION]]


async def test_a_system_message_of_blocks_gets_one_more_block(provider: Provider) -> None:
    own = {"role": "system", "content": [{"type": "text", "text": "Answer in verse."}]}
    await graph_of(provider, "say=one").ainvoke({"messages": [own, QUESTION]})
    blocks = sent(provider, "say=final")[0][0]["content"]
    assert blocks == [*own["content"], {"type": "text", "text": "\n\n" + PAPER + "\n1. one"}]


async def test_the_whole_history_reaches_every_model(provider: Provider) -> None:
    history = [QUESTION, {"role": "assistant", "content": "Rayleigh."}, {"role": "user", "content": "Who?"}]
    await graph_of(provider, "say=one").ainvoke({"messages": history})
    assert sent(provider, "say=one") == [history]
    assert sent(provider, "say=final")[0][1:] == history


async def test_thoughts_never_reach_another_model(provider: Provider) -> None:
    history = [QUESTION, {"role": "assistant", "content": "<think>secret</think>Rayleigh."}, QUESTION]
    drafted = "say=%3Cthink%3Esecret%3C%2Fthink%3Eone"
    await graph_of(provider, drafted).ainvoke({"messages": history})
    assert not any("secret" in str(request.json) for request in provider.requests() if request.model != drafted)
    assert sent(provider, "say=final")[0][0]["content"] == PAPER + "\n1. one"
    assert "secret" not in str(sent(provider, drafted))


async def test_a_failed_draft_closes_up_the_numbers(provider: Provider) -> None:
    result = await graph_of(provider, "say=one", "err400", "say=two").ainvoke({"messages": [QUESTION]})
    assert sent(provider, "say=final")[0][0]["content"] == PAPER + "\n1. one\n2. two"
    assert len(provider.requests("err400")) == 1
    assert [(u["slot"], u["status"]) for u in result["record"]["unused"]] == [(1, "failed")]


async def test_no_draft_means_no_injection(provider: Provider) -> None:
    graph = graph_of(provider, "err400", min_drafts=0)
    result = await graph.ainvoke({"messages": [QUESTION]})
    assert sent(provider, "say=final") == [[QUESTION]]
    assert result["record"]["degraded"]


@pytest.mark.parametrize("layers", [2, 3, 4])
async def test_each_layer_sees_the_one_before_only(provider: Provider, layers: int) -> None:
    # `prompt` answers with the messages it was sent, so every layer's drafts differ.
    graph = graph_of(provider, "say=one", "prompt", layers=layers)
    result = await graph.ainvoke({"messages": [QUESTION]})
    drafts = [d["text"] for d in result["drafts"] if d["layer"] == layers - 1]
    assert sent(provider, "say=final")[0][0]["content"] == PAPER + f"\n1. {drafts[0]}\n2. {drafts[1]}"
    asked = sent(provider, "say=one")
    assert len(asked) == layers - 1
    for layer in range(2, layers):
        before = [d["text"] for d in result["drafts"] if d["layer"] == layer - 1]
        assert asked[layer - 1][0]["content"] == PAPER + f"\n1. {before[0]}\n2. {before[1]}"


async def test_eleven_drafts_keep_declaration_order(provider: Provider) -> None:
    names = [f"say=answer%20{n}" for n in range(11)]
    # The first is the slowest: order is of declaration, not of arrival.
    await graph_of(provider, *(f"{n}-{50 - 4 * i}ms" for i, n in enumerate(names))).ainvoke({"messages": [QUESTION]})
    shown = sent(provider, "say=final")[0][0]["content"]
    assert shown == PAPER + "".join(f"\n{n + 1}. answer {n}" for n in range(11))


@pytest.mark.parametrize(
    ("preset", "calls"), [("together-quickstart", 5), ("together-moa-lite", 7), ("together-moa", 13)]
)
async def test_calls_of_the_papers_presets(provider: Provider, preset: str, calls: int) -> None:
    mixture = Mixture.load(preset)

    def moved(spec: Any) -> dict[str, Any]:
        return {**spec.model_dump(exclude_none=True), "base_url": provider.url}

    graph = create_moa(
        mixture.changed(proposers=[moved(s) for s in mixture.proposers], aggregator=moved(mixture.aggregator))
    )
    result = await graph.ainvoke({"messages": [QUESTION]})
    bodies = [request.json for request in provider.requests()]
    assert len(bodies) == result["record"]["calls"] == calls
    sampling = {(b.get("temperature"), b.get("max_tokens", b.get("max_completion_tokens"))) for b in bodies}
    expected: set[Any] = {(0.7, 512), (None, None)} if preset == "together-quickstart" else {(0.7, 2048)}
    assert sampling == expected


async def test_images_reach_every_model(provider: Provider) -> None:
    blocks = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    await graph_of(provider, "say=one").ainvoke({"messages": [{"role": "user", "content": blocks}]})
    assert sent(provider, "say=one")[0][-1]["content"] == sent(provider, "say=final")[0][-1]["content"] == blocks


async def test_one_bad_proposer_does_not_end_the_run_and_all_bad_ones_say_why(provider: Provider) -> None:
    from moa_graph import NotEnoughDraftsError

    with pytest.raises(NotEnoughDraftsError, match=r"p0-err401.*p1-err404") as caught:
        await graph_of(provider, "err401", "err404").ainvoke({"messages": [QUESTION]})
    assert [d["status"] for d in caught.value.drafts] == ["failed", "failed"]
    assert not provider.requests("say=final")


def test_keys_go_to_their_own_host_only(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_API_KEY": "sk-openai-planted",
        "TOGETHER_API_KEY": "sk-together-planted",
        "OPENAI_ORG_ID": "org-planted",
        "OPENAI_PROJECT_ID": "proj-planted",
        "OWN_KEY": "sk-own",
    }.items():
        monkeypatch.setenv(name, value)
    own = {"model": "openai:say=one", "base_url": provider.url, "api_key_env": "OWN_KEY"}
    bare = {"model": "together:say=two", "base_url": provider.url}
    create_moa(proposers=[own, bare], aggregator={**bare, "name": "last"}).invoke({"messages": [QUESTION]})
    assert provider.requests("say=one")[0].headers["authorization"] == "Bearer sk-own"
    for request in provider.requests():
        assert "planted" not in str(request.headers) and "planted" not in str(request.json)


def test_many_event_loops_in_a_row(provider: Provider) -> None:
    graph = graph_of(provider, "say=one-tok=1")
    for _ in range(20):
        assert asyncio.run(graph.ainvoke({"messages": [QUESTION]}))["messages"][-1].content == "final"
