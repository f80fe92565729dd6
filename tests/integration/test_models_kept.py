"""A long-lived server keeps few models and connections, whatever its clients send."""

import asyncio
import gc
import subprocess
import sys
import weakref

import httpx
import pytest

from moa_graph import Proposer
from moa_graph.models import registry
from tests.serving import Served, mixture


@pytest.fixture
def few(monkeypatch):
    """A limit that is reached sooner than the real one."""
    monkeypatch.setattr(registry, "_KEPT", 4)
    return 4


async def test_models_are_few_and_those_in_use_stay(few):
    spec = Proposer(model="openai:m", base_url="http://127.0.0.1:9/v1")
    used = registry.chat_model(spec, temperature=0.0)
    oldest = weakref.ref(registry.chat_model(spec, temperature=0.001))
    for n in range(3 * few):
        registry.chat_model(spec, temperature=0.5 + n / 100)
        assert registry.chat_model(spec, temperature=0.0) is used
    assert len(registry._models[asyncio.get_running_loop()]) == few
    gc.collect()
    assert oldest() is None


def test_a_client_that_varies_its_sampling_leaves_few_models_and_connections(provider, few):
    shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}}}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "response_format": shape}
    before = {id(kept) for kept in registry._models.values()}
    with Served({"m": mixture(provider, "one-tok=2", aggregator="agg")}) as served:
        for n in range(3 * few):
            sent = {**body, "temperature": n / 10, "max_tokens": 100 + n}
            assert httpx.post(f"{served.url}/v1/chat/completions", json=sent).status_code == 200
        sizes = [len(kept) for kept in registry._models.values() if id(kept) not in before]
    assert sizes and max(sizes) <= few
    # One connection of `openai_http` for the drafts, one of the SDK for the structured answers.
    assert provider.stats()["connections"] <= 2


async def test_a_client_that_is_costly_to_make_is_made_once_for_all_sampling():
    spec = Proposer(model="google_genai:m", base_url="http://127.0.0.1:9", temperature=0.25)
    wanted = [(0.25, 50, True), (0.5, 100, False), (0.5, 100, True), (1.0, None, True), (None, 50, False)]
    used = [registry.chat_model(spec, temperature=t, max_tokens=most, quiet=quiet).inner for t, most, quiet in wanted]
    assert {id(model.client) for model in used} == {id(registry.chat_model(spec).inner.client)}
    assert [(model.temperature, model.max_output_tokens, model.disable_streaming) for model in used] == [
        (0.25 if t is None else t, most, quiet) for t, most, quiet in wanted
    ]
    assert registry.chat_model(spec).inner.temperature == 0.25


IN_A_THREAD = """
import asyncio, sys, threading
from moa_graph import Mixture, Proposer, create_moa

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in sys.argv[2:]:
            assert threading.current_thread() is not threading.main_thread(), name
            found.add(name)

found = set()
sys.meta_path.insert(0, Finder())
spec = Proposer(sys.argv[1], base_url="http://127.0.0.1:9")
graph = create_moa(Mixture(proposers=[spec], aggregator=spec, max_attempts=1))
try:
    if TOOLS:
        from moa_graph.mixture.context import BoundContext
        from moa_graph.serve.runs import checked
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
        mixture = Mixture(proposers=[spec], aggregator=spec)
        hi = [{"role": "user", "content": "hi"}]
        asyncio.run(checked(mixture, hi, BoundContext(bound={"tools": [tool]})))
        print("checked", len(found))
    else:
        asyncio.run(graph.ainvoke({"messages": "hi"}))
except Exception as error:
    print(type(error).__name__, len(found))
"""


@pytest.mark.parametrize(
    ("model", "modules"),
    [
        ("anthropic:m", ["langchain_anthropic.chat_models", "anthropic.types"]),
        ("openai:m", ["langchain_openai.chat_models", "openai.types", "aiohttp.connector"]),
        ("together:m", ["langchain_together.chat_models", "openai.types", "aiohttp.connector"]),
        ("mine:m", ["langchain_openai.chat_models", "openai.types", "aiohttp.connector"]),
    ],
)
def test_a_providers_package_is_not_imported_on_the_event_loop(model, modules):
    command = [sys.executable, "-c", f"TOOLS = False\n{IN_A_THREAD}", model, *modules]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == f"NotEnoughDraftsError {len(modules)}\n", ended.stderr


def test_nor_is_it_for_a_request_with_tools_which_is_checked_before_its_run():
    modules = ["langchain_openai.chat_models", "openai.types", "aiohttp.connector"]
    command = [sys.executable, "-c", f"TOOLS = True\n{IN_A_THREAD}", "openai:m", *modules]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "checked 3\n", ended.stderr
