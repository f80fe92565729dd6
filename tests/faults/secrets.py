"""Twelve planted secrets, and every place where they could appear."""

import asyncio
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import zstandard
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langsmith import Client
from langsmith.run_helpers import tracing_context

from moa_graph import MoAError, create_moa
from tests.provider import Provider

ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-proj-PlantedOpenAI0123456789",
    "TOGETHER_API_KEY": "5eed" * 16,
    "LOOPBACK_API_KEY": "planted loopback key with spaces",
    "DATABASE_PASSWORD": "planted-database-password",
}
THROWN = {
    "sk-ant-PlantedAnthropic-0123456789": "Incorrect API key provided: {}",
    "PlantedBearer.abc-123": "headers={{'Authorization': 'Bearer {}'}}",
    "planted-header-value-9": "request headers: {{'x-api-key': '{}', 'accept': '*/*'}}",
    "planted-url-password": "cannot connect to https://user:{}@proxy.example.com:8080",
    "planted-query-key": "POST https://api.example.com/v1/chat?key={}&alt=sse returned 403",
    "AIzaPlantedGoogle0123456789abcdefghi": "API key not valid: {}",
    "AKIAPLANTEDAWS012345": "credential {} was revoked",
    "eyJQbGFudGVk.eyJKV1Qi.c2lnbmF0dXJl": "token {} has expired",
}
SECRETS = [*ENVIRONMENT.values(), *THROWN]
LEAKS: list[str] = [template.format(secret) for secret, template in THROWN.items()]
LEAKS += [f"the key {value} was refused" for value in ENVIRONMENT.values()]


class Leaky(BaseChatModel):
    """Fails with a secret in the exception and in its cause. `place` says where the text is: fields of a caller's own
    model are shown by LangChain's tracer, so nobody keeps a secret in one."""

    place: int

    @property
    def _llm_type(self) -> str:
        return "leaky"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        try:
            raise ConnectionError(LEAKS[self.place])
        except ConnectionError as cause:
            raise RuntimeError(f"the request failed\n{LEAKS[self.place]}") from cause


def mixture(provider: Provider, leak: int) -> dict[str, Any]:
    """One healthy proposer with a key, two that quote secrets, and an aggregator."""
    own = {"base_url": provider.url, "api_key_env": "LOOPBACK_API_KEY"}
    return {
        "proposers": [
            {"model": "openai:tok=4-a", **own},
            {"model": "openai:err401-b", **own},
            {"model": Leaky(place=leak)},
        ],
        "aggregator": {"model": "openai:tok=4-agg", **own},
    }


def search() -> dict[str, list[str]]:
    """Run everything with the secrets planted; return the findings by place (empty if no secret was found)."""
    places: dict[str, str] = {}
    with _planted(), tempfile.TemporaryDirectory() as folder, Provider() as provider, Provider() as sink:
        asyncio.run(_everything(places, provider, sink, Path(folder)))
        places["command: stdout, stderr, saved file"] = _command(provider, Path(folder))
        places["requests to a host that is not the key's own"] = _requests(provider)
    return {place: [s for s in SECRETS if s in text] for place, text in places.items()}


@contextmanager
def _planted() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


async def _everything(places: dict[str, str], provider: Provider, sink: Provider, folder: Path) -> None:
    logged, printed = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(logged)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    client = Client(api_url=sink.url.removesuffix("/v1"), api_key="the sink's own key")
    try:
        with redirect_stdout(printed), redirect_stderr(printed), tracing_context(enabled=True, client=client):
            for leak in range(len(LEAKS)):
                await _one(places, mixture(provider, leak), folder / f"{leak}.db")
        await asyncio.to_thread(client.flush)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        await asyncio.to_thread(client.cleanup)
    places["logs"], places["stdout and stderr"] = logged.getvalue(), printed.getvalue()
    places["traces"] = "".join(_opened(request.body) for request in sink.requests())
    assert "moa" in places["traces"], "the sink has seen no trace"
    places["checkpoints"] = "".join(path.read_bytes().decode("latin-1") for path in folder.glob("*.db*"))


async def _one(places: dict[str, str], fields: dict[str, Any], path: Path) -> None:
    def add(place: str, text: str) -> None:
        places[place] = places.get(place, "") + text

    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        graph = create_moa(fields, checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t"}}
        result: dict[str, Any] = {}
        async for mode, part in graph.astream({"messages": "hi"}, config, stream_mode=["custom", "values", "debug"]):
            add("events", repr(part))
            result = part if mode == "values" else result
        add("the result as JSON", json.dumps(result["record"]) + json.dumps(result["drafts"]))
        add("pickles", pickle.dumps(result).decode("latin-1"))
        add("repr of the graph and the mixture", repr(graph) + repr(create_moa(fields)) + str(fields))
        try:
            await create_moa({**fields, "proposers": fields["proposers"][1:]}).ainvoke({"messages": "hi"})
        except MoAError as error:
            add("errors", str(error) + "".join(traceback.format_exception(error)) + repr(error.drafts))


def _opened(body: bytes) -> str:
    """A trace's body as text; LangSmith's client compresses it."""
    try:
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read().decode("latin-1")
    except zstandard.ZstdError:
        return body.decode("latin-1")


def _command(provider: Provider, folder: Path) -> str:
    """Return the output and files of `moa ask` if one proposer is refused, and if all are."""
    own = {"base_url": provider.url, "api_key_env": "LOOPBACK_API_KEY"}
    shown = ""
    for number, models in enumerate((["tok=4-a", "err401-b"], ["err401-b"])):
        path, saved = folder / f"mixture{number}.yaml", folder / f"saved{number}.json"
        proposers = [{"model": f"openai:{model}", **own} for model in models]
        path.write_text(json.dumps({"proposers": proposers, "aggregator": {"model": "openai:tok=4-agg", **own}}))
        command = [sys.executable, "-m", "moa_graph", "ask", "--file", path, "--trust", "--json", "--save", saved, "hi"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == (0 if number == 0 else 1), done.stderr
        assert "Traceback" not in done.stderr
        shown += done.stdout + done.stderr + (saved.read_text() if saved.exists() else "")
    return shown


def _requests(provider: Provider) -> str:
    """All that the loopback provider was sent, without its own key, which it has to get."""
    seen = [json.dumps(request.headers) + request.body.decode("latin-1") for request in provider.requests()]
    assert ENVIRONMENT["LOOPBACK_API_KEY"] in "".join(seen)
    return "".join(seen).replace(ENVIRONMENT["LOOPBACK_API_KEY"], "")
