"""Inputs that must be refused, each with the expected words of its error."""

import math
import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from moa_graph import ConfigError, InputError, MissingKeyError, MoAContext, MoAError, create_moa
from tests.provider import Provider

Try = Callable[[Provider], Awaitable[Any]]


@dataclass
class Refusal:
    """The outcome of a refusal. `wrong` describes differences from the expected outcome."""

    name: str
    error: str
    requests: int
    wrong: str | None


def _spec(provider: Provider, **fields: Any) -> dict[str, Any]:
    return {"model": "openai:tok=4-a", "base_url": provider.url, **fields}


def _messages(messages: Any) -> Try:
    async def attempt(provider: Provider) -> Any:
        graph = create_moa(proposers=[_spec(provider)], aggregator=_spec(provider))
        return await graph.ainvoke({"messages": messages})

    return attempt


def _mixture(**fields: Any) -> Try:
    async def attempt(provider: Provider) -> Any:
        whole = {"proposers": [_spec(provider)], "aggregator": _spec(provider), **fields}
        return await create_moa(whole).ainvoke({"messages": "hi"})

    return attempt


def _proposer(**fields: Any) -> Try:
    async def attempt(provider: Provider) -> Any:
        whole = {"proposers": [_spec(provider, **fields)], "aggregator": _spec(provider)}
        return await create_moa(whole).ainvoke({"messages": "hi"})

    return attempt


def _named(model: Any) -> Try:
    async def attempt(provider: Provider) -> Any:
        return await create_moa(proposers=[model], aggregator=_spec(provider)).ainvoke({"messages": "hi"})

    return attempt


def _context(**fields: Any) -> Try:
    async def attempt(provider: Provider) -> Any:
        graph = create_moa(proposers=[_spec(provider)], aggregator=_spec(provider))
        return await graph.ainvoke({"messages": "hi"}, context=fields)  # type: ignore[arg-type]

    return attempt


def _file(text: str, suffix: str = ".yaml") -> Try:
    async def attempt(provider: Provider) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"mixture{suffix}"
            path.write_text(text)
            return create_moa(path)

    return attempt


async def _duplicates(provider: Provider) -> Any:
    return create_moa(proposers=[_spec(provider), _spec(provider)], aggregator=_spec(provider))


async def _built_context(provider: Provider) -> Any:
    return MoAContext(layers=True)


def _image(address: Any) -> Try:
    return _messages([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}])


async def _window(provider: Provider) -> Any:
    graph = create_moa(proposers=[_spec(provider, window=100)], aggregator=_spec(provider))
    return await graph.ainvoke({"messages": "word " * 1000})


METADATA = "http://169.254.169.254/latest/meta-data"
INPUT = InputError
CONFIG = ConfigError
REFUSALS: dict[str, tuple[type[MoAError], str, Try]] = {
    "no messages": (INPUT, "messages", _messages([])),
    "empty prompt": (INPUT, "blank", _messages("")),
    "blank prompt": (INPUT, "blank", _messages(" \n\t ")),
    "zero-width prompt of NULs": (INPUT, "blank", _messages("\0\0")),
    "None as content": (INPUT, "messages", _messages([{"role": "user", "content": None}])),
    "None as a message": (INPUT, "messages", _messages([None])),
    "a number as a message": (INPUT, "messages", _messages([3])),
    "no role": (INPUT, "messages", _messages([{"content": "hi"}])),
    "an unknown role": (INPUT, "messages", _messages([{"role": "wizard", "content": "hi"}])),
    "only a blank system message": (INPUT, "blank", _messages([SystemMessage(" ")])),
    "only an assistant message": (INPUT, "user message", _messages([AIMessage("hello")])),
    "empty list content": (INPUT, "blank", _messages([HumanMessage(content=[])])),
    "blank block": (INPUT, "blank", _messages([HumanMessage(content=[{"type": "text", "text": " "}])])),
    "unknown block": (INPUT, "video", _messages([HumanMessage(content=[{"type": "video", "url": "x"}])])),
    "file image": (INPUT, "file:///etc/passwd", _image("file:///etc/passwd")),
    "metadata address": (INPUT, "169.254.169.254", _image("http://169.254.169.254/latest/meta-data")),
    "metadata address over https": (INPUT, "169.254.169.254", _image("https://169.254.169.254/latest")),
    "metadata by name": (INPUT, "metadata.google.internal", _image("https://metadata.google.internal/x")),
    "loopback image": (INPUT, "localhost", _image("https://localhost/x.png")),
    "loopback image by number": (INPUT, "2130706433", _image("https://2130706433/x.png")),
    "loopback image by IPv6": (INPUT, "::1", _image("https://[::1]/x.png")),
    "private image": (INPUT, "10.0.0.1", _image("https://10.0.0.1/x.png")),
    "http image": (INPUT, "http://example.com", _image("http://example.com/x.png")),
    "no image address": (INPUT, "neither data nor an address", _image(None)),
    "data that is not an image": (INPUT, "data:text/html", _image("data:text/html;base64,PGI+")),
    "prompt over the window": (INPUT, "window", _window),
    "zero proposers": (CONFIG, "proposers", _mixture(proposers=[])),
    "a round without proposers": (CONFIG, "rounds", _mixture(proposers=[], rounds=[[]])),
    "no layers": (CONFIG, "layers", _mixture(layers=0)),
    "negative layers": (CONFIG, "layers", _mixture(layers=-1)),
    "a billion layers": (CONFIG, "layers", _mixture(layers=10**9)),
    "true as layers": (CONFIG, "layers", _mixture(layers=True)),
    "text as layers": (CONFIG, "layers", _mixture(layers="2")),
    "half a layer": (CONFIG, "layers", _mixture(layers=2.5)),
    "a billion samples": (CONFIG, "samples", _proposer(samples=10**9)),
    "zero samples": (CONFIG, "samples", _proposer(samples=0)),
    "NaN as temperature": (CONFIG, "temperature", _proposer(temperature=math.nan)),
    "infinite temperature": (CONFIG, "temperature", _proposer(temperature=math.inf)),
    "temperature 99": (CONFIG, "temperature", _proposer(temperature=99.0)),
    "true as temperature": (CONFIG, "temperature", _proposer(temperature=True)),
    "negative tokens": (CONFIG, "max_tokens", _proposer(max_tokens=-1)),
    "a billion tokens": (CONFIG, "max_tokens", _proposer(max_tokens=10**9)),
    "NaN as deadline": (CONFIG, "deadline", _mixture(deadline=math.nan)),
    "zero deadline": (CONFIG, "deadline", _mixture(deadline=0.0)),
    "endless deadline": (CONFIG, "deadline", _mixture(deadline=math.inf)),
    "quorum above the round": (CONFIG, "quorum", _mixture(quorum=2)),
    "min_drafts above the round": (CONFIG, "min_drafts", _mixture(min_drafts=2)),
    "negative grace": (CONFIG, "grace", _mixture(grace=-1.0)),
    "no attempts": (CONFIG, "max_attempts", _mixture(max_attempts=0)),
    "a million attempts": (CONFIG, "max_attempts", _mixture(max_attempts=10**6)),
    "duplicates by mistake": (CONFIG, "samples=2", _duplicates),
    "empty model": (CONFIG, "provider:model", _named("")),
    "a provider alone": (CONFIG, "provider:model", _named("openai:")),
    "a model alone": (CONFIG, "provider:model", _named("gpt-4o")),
    "nothing of both": (CONFIG, "provider:model", _named(":")),
    "None as model": (CONFIG, "model", _named(None)),
    "a number as model": (CONFIG, "model", _named(7)),
    "unknown provider": (CONFIG, "nobody", _named("nobody:model")),
    "absent package": (CONFIG, "anthropic", _named("anthropic:claude-sonnet-4-5")),
    "no key": (MissingKeyError, "TOGETHER_API_KEY", _named("together:meta-llama/Llama-3-70b-chat-hf")),
    "a key in the address": (CONFIG, "base_url", _proposer(base_url="https://user:sk-12345678@example.com/v1")),
    "an address of no kind": (CONFIG, "base_url", _proposer(base_url="file:///etc/passwd")),
    "unknown field": (CONFIG, "Did you mean 'temperature'", _proposer(temprature=0.5)),
    "unknown mixture field": (CONFIG, "Did you mean 'aggregator'", _mixture(agregator="openai:x")),
    "unknown field in a file": (CONFIG, "Did you mean 'proposers'", _file("propsers: [a:b]\naggregator: a:b\n")),
    "a file of no mixture": (CONFIG, "mixture.yaml", _file("- 1\n- 2\n")),
    "a file that does not parse": (CONFIG, "mixture.yaml", _file("proposers: [")),
    "a file that builds objects": (CONFIG, "mixture.yaml", _file("!!python/object/apply:os.system ['true']")),
    "a TOML file that does not parse": (CONFIG, "mixture.toml", _file("proposers = [", ".toml")),
    "unknown preset": (CONFIG, "no-such-preset", lambda provider: _load("no-such-preset")),
    "absent file": (CONFIG, "absent.yaml", lambda provider: _load("/nowhere/absent.yaml")),
    "a list as mixture": (CONFIG, "proposers=[...]", lambda provider: _load(["openai:x"])),
    "a number as mixture": (CONFIG, "got 3", lambda provider: _load(3)),
    "a number as a field": (
        CONFIG,
        "unknown field '1'",
        lambda provider: _load({1: 2, "proposers": ["openai:x"], "aggregator": "openai:x"}),
    ),
    "a path that no file can have": (CONFIG, "mixture file", lambda provider: _load("a\0b.yaml")),
    "a model file that cannot be read": (CONFIG, "cannot be read", _named("local:/proc/self/mem")),
    "a model file of nobody": (CONFIG, "cannot be read", _named("local:~nobody-here/a.gguf")),
    "a parameter that is a field": (CONFIG, "'temperature'", _proposer(params={"temperature": 0.2})),
    "a key among the parameters": (CONFIG, "'api_key'", _proposer(params={"api_key": "sk-planted-12345678"})),
    "an object as parameter": (CONFIG, "params", _proposer(params={"stop": object()})),
    "a parameter of the wrong kind": (CONFIG, "top_p", _proposer(params={"top_p": "much"})),
    "a negative price": (CONFIG, "prices", _mixture(prices={"openai:tok=4-a": [-1, 1]})),
    "two addresses, one of them metadata": (
        INPUT,
        "169.254.169.254",
        _messages(
            [HumanMessage(content=[{"type": "image", "image_url": "https://ok.example/a.png", "url": METADATA}])]
        ),
    ),
    "context: unknown field": (CONFIG, "model", _context(model="openai:evil")),
    "context: a host": (CONFIG, "base_url", _context(base_url="http://evil.example/v1")),
    "context: a key": (CONFIG, "api_key", _context(api_key="sk-evil-12345678")),
    "context: a foreign aggregator": (CONFIG, "aggregator", _context(aggregator="openai:evil")),
    "context: a billion layers": (CONFIG, "layers", _context(layers=10**9)),
    "context: no layers": (CONFIG, "layers", _context(layers=0)),
    "context: true as layers": (CONFIG, "layers", _context(layers=True)),
    "context: true as a value": (CONFIG, "layers", _built_context),
    "context: NaN": (CONFIG, "temperature", _context(temperature=math.nan)),
    "context: infinite deadline": (CONFIG, "deadline", _context(deadline=math.inf)),
    "context: negative cost": (CONFIG, "max_cost", _context(max_cost=-1.0)),
    "context: a list as prompt": (CONFIG, "prompt", _context(prompt=["paper"])),
    "context: an unknown prompt": (CONFIG, "prompt", _context(prompt="{x}")),
    "context: a novel as system prompt": (CONFIG, "system", _context(system="x" * 200_000)),
    "context: quorum above the round": (CONFIG, "quorum", _context(quorum=5)),
    "context: quorum below min_drafts": (CONFIG, "min_drafts", _context(quorum=1, min_drafts=2)),
    "context: bound arguments": (CONFIG, "bound", _context(bound={"tools": []})),
}


async def _load(source: Any) -> Any:
    return create_moa(source)


def _is_short(text: str) -> bool:
    """Return whether an error is one line, or a mixture file's list with a line per problem."""
    first, *others = text.splitlines()
    listed = re.search(r": (\d+) problems\.$", first)
    return len(text) <= 700 and len(others) == (int(listed[1]) if listed else 0)


async def refuse(name: str, provider: Provider) -> Refusal:
    """Try the input; it must raise exactly its error, in a line per problem, before any request."""
    kind, words, attempt = REFUSALS[name]
    before = provider.stats()["requests"]
    shown, wrong = "", None
    try:
        await attempt(provider)
        wrong = "it was accepted"
    except MoAError as error:
        shown = str(error).partition("\nDuring task")[0]
        if not isinstance(error, kind):
            wrong = f"{type(error).__name__} instead of {kind.__name__}: {shown}"
        elif words not in shown or not _is_short(shown):
            wrong = f"does not say {words!r} in one line: {shown}"
    except Exception as error:  # any other class is a finding
        wrong = f"untyped {type(error).__name__}: {error}"
    return Refusal(name, shown, provider.stats()["requests"] - before, wrong)


ORPHAN = [HumanMessage("hi"), ToolMessage("42", tool_call_id="1"), HumanMessage("and?")]
"""Not refused: a tool's result without its call is shown to the models as text (docs/faults.md)."""
