"""The repository's langgraph.json under `langgraph dev`: both graphs run and return the documented state."""

from collections.abc import AsyncIterator

import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.client import LangGraphClient

from tests.langgraph_dev import ANSWER, LangGraphDev

ASK = {"messages": [{"role": "user", "content": "What is it?"}]}
MADE = """
from moa_graph import create_moa


async def made(config):
    create_moa("local")
    return create_moa("mine.yaml", output="answer")
"""


@pytest.fixture
async def client(langgraph_dev) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=langgraph_dev.url) as client:
        yield client


async def test_moa_shows_everything_and_moa_answer_only_the_answer(client):
    full = await client.runs.wait(None, "moa", input=ASK)
    assert full["messages"][-1]["content"] == ANSWER
    assert [d["text"] for d in full["drafts"]] == ["draft one", "draft two", "draft three"]
    assert full["record"]["calls"] == 4
    alone = await client.runs.wait(None, "moa_answer", input=ASK)
    assert set(alone) == {"messages"}
    assert [m["type"] for m in alone["messages"]] == ["human", "ai"]


async def test_a_context_reaches_the_run_and_a_wrong_one_is_refused(client):
    deep = await client.runs.wait(None, "moa", input=ASK, context={"layers": 3})
    assert deep["record"]["layers"] == 3 and len(deep["drafts"]) == 6
    wrong = await client.runs.wait(None, "moa", input=ASK, context={"layers": 99}, raise_error=False)
    assert wrong["__error__"]["error"] == "ConfigError"


def test_remote_graph_is_called_like_a_local_one(langgraph_dev):
    with get_sync_client(url=langgraph_dev.url) as client:
        remote = RemoteGraph("moa", sync_client=client)
        assert remote.invoke(ASK)["messages"][-1]["content"] == ANSWER


async def test_the_config_form_and_the_schemas_are_there(client):
    (found,) = await client.assistants.search(graph_id="moa_answer")
    schemas = await client.assistants.get_schemas(found["assistant_id"])
    assert list(schemas["input_schema"]["properties"]) == ["messages"]
    assert "layers" in schemas["context_schema"]["properties"]


def test_nothing_in_the_server_blocked_its_loop(langgraph_dev):
    assert "Blocking call" not in langgraph_dev.log.read_text()


@pytest.mark.timeout(300)
async def test_without_keys_the_embedded_model_answers_and_the_server_still_ends_on_a_signal(tmp_path):
    """A graph that is made for each run (LangGraph's factories of graphs) answers as well, of a preset or a path."""
    keyless = {"MOA_PRESET": "", "OPENAI_API_KEY": "", "TOGETHER_API_KEY": ""}
    (tmp_path / "made.py").write_text(MADE)
    (tmp_path / "mine.yaml").write_text('{"proposers": ["local:smollm2"], "aggregator": "local:smollm2"}')
    graphs = {"moa": "./moa_graph/studio.py:moa", "made": "./made.py:made"}
    with LangGraphDev({}, folder=tmp_path, env=keyless, changes={"graphs": graphs}) as server:
        async with get_client(url=server.url) as client:
            full = await client.runs.wait(None, "moa", input=ASK)
            made = await client.runs.wait(None, "made", input=ASK, context={"layers": 1, "max_tokens": 4})
        assert [message["type"] for message in made["messages"]] == ["human", "ai"]
        assert [d["model"] for d in full["drafts"]] == ["local:smollm2"] * 3
        assert full["messages"][-1]["content"].strip()
        server.process.terminate()
        server.process.wait(60)
    assert "Blocking call" not in server.log.read_text()


async def test_the_reason_of_a_failed_run_is_where_studio_and_the_sdk_look(client):
    """Studio shows the error of the step in a thread's state, and that of the run's stream."""
    thread = (await client.threads.create())["thread_id"]
    with pytest.raises(Exception, match="max_calls"):
        await client.runs.wait(thread, "moa", input=ASK, context={"max_calls": 1})
    state = await client.threads.get_state(thread)
    errors = [task["error"] for task in state["tasks"] if task["error"]]
    assert state["next"] == ["begin"] and len(errors) == 1 and "max_calls" in errors[0], state["tasks"]
    parts = [part async for part in client.runs.stream(None, "moa", input=ASK, context={"max_calls": 1})]
    (error,) = [part.data for part in parts if part.event == "error"]
    assert error["error"] == "BudgetError" and "max_calls" in error["message"]
