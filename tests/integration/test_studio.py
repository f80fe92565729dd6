"""The steps of a person in Studio, sent through the server's own API to `langgraph dev`."""

from uuid import uuid4

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import BadRequestError

from tests.langgraph_dev import ANSWER

ASK = {"messages": [{"role": "user", "content": "What is it?"}]}
DRAFTS = ["draft one", "draft two", "draft three"]
NODES = ["p0-one-say-draft-20one", "p1-two-say-draft-20two", "p2-three-say-draft-20three"]


@pytest.fixture
async def client(langgraph_dev):
    client = get_client(url=langgraph_dev.url)
    yield client
    await client.http.client.aclose()


async def started(client, **options):
    """A new thread with one run of `moa`, waited for."""
    thread = (await client.threads.create())["thread_id"]
    result = await client.runs.wait(thread, "moa", input=ASK, **options)
    return thread, result


def shown(provider):
    """Return the messages of the aggregator's last request."""
    request = [each for each in provider.requests() if each.model.startswith("agg")][-1]
    return request.json["messages"][0]["content"]


async def test_both_graphs_with_their_descriptions_and_nodes(client):
    found = {each["graph_id"]: each for each in await client.assistants.search()}
    assert {"moa", "moa_answer"} <= found.keys()
    for name in ("moa", "moa_answer"):
        drawn = await client.assistants.get_graph(found[name]["assistant_id"])
        nodes = [node["id"] for node in drawn["nodes"]]
        assert nodes[1] == "begin" and {"gather", "aggregate"} <= set(nodes)
        assert [name for name in nodes if name.startswith("p")] == NODES


async def test_the_form_has_every_field_with_its_words_and_bounds(client):
    [assistant] = await client.assistants.search(graph_id="moa", metadata={"created_by": "system"})
    fields = (await client.assistants.get_schemas(assistant["assistant_id"]))["context_schema"]["properties"]
    assert {"layers", "system", "aggregator", "prompt", "temperature", "max_tokens", "quorum"} <= fields.keys()
    assert all(field.get("description") for field in fields.values())
    assert fields["system"]["langgraph_type"] == "prompt" and fields["aggregator"]["langgraph_nodes"] == ["aggregate"]
    assert {*NODES, "aggregate"} == {*fields["system"]["langgraph_nodes"]}
    for name in ("aggregator", "combine", "prompt"):
        assert len(fields[name]["anyOf"][0]["enum"]) >= 1, name
    bounds = fields["layers"]["anyOf"][0]
    assert (bounds["minimum"], bounds["maximum"]) == (1, 10)


async def test_an_assistant_keeps_a_form_filled_in(client):
    saved = await client.assistants.create("moa", context={"layers": 3}, name="deep", assistant_id=str(uuid4()))
    result = await client.runs.wait(None, saved["assistant_id"], input=ASK)
    assert result["record"]["layers"] == 3
    await client.assistants.delete(saved["assistant_id"])


async def test_a_second_turn_on_the_thread_begins_with_no_drafts(client):
    thread, first = await started(client, context={"layers": 3})
    assert len(first["drafts"]) == 6
    second = await client.runs.wait(thread, "moa", input={"messages": [{"role": "user", "content": "And now?"}]})
    assert [m["type"] for m in second["messages"]] == ["human", "ai", "human", "ai"]
    assert [d["text"] for d in second["drafts"]] == DRAFTS and second["record"]["layers"] == 2


async def test_the_steps_of_a_thread_are_there_to_look_at(client):
    thread, _ = await started(client)
    history = await client.threads.get_history(thread)
    assert [state["next"] for state in reversed(history)][1:] == [
        ["begin"],
        NODES,
        ["gather"],
        ["aggregate"],
        [],
    ]


async def test_time_travel_from_the_gather_step_pays_only_for_the_answer(client, provider):
    thread, _ = await started(client)
    history = await client.threads.get_history(thread)
    [before] = [state for state in history if state["next"] == ["gather"]]
    provider.reset()
    again = await client.runs.wait(thread, "moa", input=None, checkpoint=before["checkpoint"])
    assert again["messages"][-1]["content"] == ANSWER and [d["text"] for d in again["drafts"]] == DRAFTS
    assert [request.model.partition("-")[0] for request in provider.requests()] == ["agg"]


async def test_a_fork_of_an_old_step_with_another_draft(client, provider):
    thread, _ = await started(client)
    history = await client.threads.get_history(thread)
    [before] = [state for state in history if state["next"] == ["aggregate"]]
    edited = {**before["values"]["drafts"][0], "text": "written by a person"}
    fork = await client.threads.update_state(thread, {"drafts": [edited]}, checkpoint=before["checkpoint"])
    provider.reset()
    result = await client.runs.wait(thread, "moa", input=None, checkpoint=fork["checkpoint"])
    assert "written by a person" in shown(provider) and "draft one" not in shown(provider)
    assert result["drafts"][0]["text"] == "written by a person" and len(provider.requests()) == 1


async def test_a_person_edits_one_draft_and_drops_another_before_the_answer(client, provider):
    thread, paused = await started(client, interrupt_after=["gather"])
    assert paused["messages"][-1]["type"] == "human"
    state = await client.threads.get_state(thread)
    assert state["next"] == ["aggregate"]
    first, second, _ = state["values"]["drafts"]
    changed = [{**first, "text": "put right by a person"}, {**second, "status": "dropped"}]
    await client.threads.update_state(thread, {"drafts": changed})
    assert (await client.threads.get_state(thread))["next"] == ["aggregate"]
    result = await client.runs.wait(thread, "moa", input=None)
    assert result["messages"][-1]["content"] == ANSWER
    assert "put right by a person" in shown(provider) and "draft three" in shown(provider)
    assert "draft two" not in shown(provider)
    assert [(d["slot"], d["status"]) for d in result["record"]["unused"]] == [(1, "dropped")]
    assert result["record"]["degraded"]


async def test_a_refused_edit_says_why(client):
    thread, _ = await started(client, interrupt_after=["gather"])
    with pytest.raises(BadRequestError, match="Copy the draft from the state"):
        await client.threads.update_state(thread, {"drafts": [{"layer": 1}]})


async def test_a_conversation_is_replaced_by_the_input(client):
    thread, _ = await started(client)
    new = {"messages": {"__overwrite__": [{"role": "user", "content": "Another one?"}]}}
    result = await client.runs.wait(thread, "moa", input=new)
    assert [message["content"] for message in result["messages"]] == ["Another one?", ANSWER]


async def test_copies_of_a_paused_thread_each_get_their_own_quorum(client):
    thread, _ = await started(client, interrupt_after=["gather"], context=(deep := {"layers": 4, "quorum": 2}))
    copy = (await client.threads.copy(thread))["thread_id"]
    await client.runs.wait(thread, "moa", input=None, interrupt_after=["gather"], context=deep)
    result = await client.runs.wait(copy, "moa", input=None, context=deep)
    for layer in (1, 2, 3):
        assert sum(draft["status"] == "ok" for draft in result["drafts"] if draft["layer"] == layer) >= 2


async def test_a_pause_after_each_layer(client, provider):
    thread, _ = await started(client, interrupt_after=["gather"], context={"layers": 3})
    state = await client.threads.get_state(thread)
    assert len(state["next"]) == 3 and state["values"]["layer"] == 2
    dropped = [{**state["values"]["drafts"][0], "status": "dropped"}]
    await client.threads.update_state(thread, {"drafts": dropped})
    provider.reset()
    await client.runs.wait(thread, "moa", input=None, interrupt_after=["gather"], context={"layers": 3})
    assert len(provider.requests()) == 3
    assert all("draft one" not in request.json["messages"][0]["content"] for request in provider.requests())
    assert (await client.threads.get_state(thread))["next"] == ["aggregate"]
    result = await client.runs.wait(thread, "moa", input=None, context={"layers": 3})
    assert result["messages"][-1]["content"] == ANSWER and len(result["drafts"]) == 6


async def test_the_answer_graph_pauses_and_resumes_too(client):
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "moa_answer", input=ASK, interrupt_after=["gather"])
    result = await client.runs.wait(thread, "moa_answer", input=None)
    assert result["messages"][-1]["content"] == ANSWER and set(result) == {"messages"}


async def test_drafts_arrive_one_by_one_while_the_run_goes_on(client):
    kinds = []
    async for part in client.runs.stream(None, "moa", input=ASK, stream_mode=["updates", "custom"]):
        if part.event == "custom":
            kinds.append(part.data["moa"])
        elif part.event == "updates":
            kinds.append(next(iter(part.data)))
    assert kinds[0] == "round_started" and kinds.index("draft") < kinds.index("gather") < kinds.index("aggregate")
    assert kinds.count("draft") == 3 and kinds[-1] == "aggregate"
