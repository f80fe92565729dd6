"""The answers of a model: text, tool calls, structured output, log probabilities, usage."""

import functools
import hashlib
import math
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.provider.profile import Profile

WORDS = ("alpha", "bridge", "copper", "delta", "ember", "forest", "garden", "harbor", "island", "jungle")


@dataclass
class Reply:
    """An answer before it is encoded. `pieces` are the tokens of a stream, which are joined to the text."""

    model: str
    pieces: tuple[str, ...]
    finish: str = "stop"
    message: dict[str, Any] = field(default_factory=dict)
    logprobs: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    n: int = 1

    @property
    def plain(self) -> bool:
        """Whether the answer is text only, so that it can be cached."""
        return not self.message and self.logprobs is None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def last_user(messages: list[dict[str, Any]]) -> str:
    """The text of the last user message; other parts than text are skipped."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def asked_by_user(messages: list[dict[str, Any]]) -> str:
    """The text of the last user message without the fenced drafts at its end, which differ between attempts."""
    text = last_user(messages)
    fence = re.search(r"\[[^\[\]\n]{0,99}\b[0-9a-f]{16}\]\n", text)
    return text[: fence.start()].rstrip() if fence else text


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


@functools.lru_cache(8192)
def words(model: str, offset: int, count: int) -> tuple[str, ...]:
    """`count` tokens, the same for the same model and question."""
    found = [f"[{model}]"] + [" " + WORDS[(offset + i * 7) % len(WORDS)] for i in range(count - 1)]
    return tuple(found[:count])


def split(text: str) -> tuple[str, ...]:
    """A text as tokens: a word with the space before it."""
    return tuple(re.findall(r"\s*\S+|\s+$", text)) or (("",) if not text else (text,))


def reply(profile: Profile, request: dict[str, Any], raw: bytes, faults: frozenset[str]) -> Reply:
    """The answer to a request, with the faults that concern its content."""
    answer = Reply(profile.model, _text(profile, request, raw, faults))
    answer.n = int(request.get("n") or 1)
    _limit(answer, request)
    _tools(answer, profile, request)
    _structured(answer, request)
    _judge(answer, profile, request)
    for name in faults & _CONTENT.keys():
        _CONTENT[name](answer)
    if "nousage" not in profile.words:
        answer.usage = _usage(answer, profile, len(raw))
    return answer


def _text(profile: Profile, request: dict[str, Any], raw: bytes, faults: frozenset[str]) -> tuple[str, ...]:
    if profile.say is not None:
        return split(profile.say)
    if "echo" in profile.words:
        return split(last_user(request["messages"]))
    if "prompt" in profile.words:
        return split(orjson.dumps(request["messages"]).decode())
    # The fence code differs between runs; the answer to the same question must not.
    raw = re.sub(rb": [0-9a-f]{16}\]", b"]", raw)
    digest = hashlib.blake2b(raw, digest_size=1, key=profile.model.encode()[:64]).digest()
    name = "same" if "same" in faults else profile.model
    return words(name, 0 if "same" in faults else digest[0] % len(WORDS), profile.tok)


def limit_of(request: dict[str, Any]) -> int | None:
    """The most tokens that the answer may have, if the request says so."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    return int(limit) if limit else None


def _limit(answer: Reply, request: dict[str, Any]) -> None:
    limit = limit_of(request)
    if limit and len(answer.pieces) > limit:
        answer.pieces, answer.finish = answer.pieces[:limit], "length"


def _tools(answer: Reply, profile: Profile, request: dict[str, Any]) -> None:
    """Call the tool that is forced, or the first one, unless a tool's result came after the last answer already."""
    tools = request.get("tools") or []
    choice = request.get("tool_choice")
    if not tools or choice == "none" or "notools" in profile.words or _has_result(request["messages"]):
        return
    wanted = choice["function"]["name"] if isinstance(choice, dict) and "function" in choice else None
    functions = [tool["function"] for tool in tools if tool.get("type") == "function"]
    if profile.call is not None:
        scripted = orjson.loads(profile.call)
        if scripted["name"] in [each["name"] for each in functions]:
            call(answer, scripted["name"], orjson.dumps(scripted["arguments"]).decode())
        return
    function = next((each for each in functions if wanted in (None, each["name"])), functions[0])
    arguments = example(function.get("parameters") or {}, asked_by_user(request["messages"]))
    call(answer, function["name"], orjson.dumps(arguments).decode())


def _has_result(messages: list[dict[str, Any]]) -> bool:
    """Whether a tool's result, and perhaps a user's message, follow the last answer."""
    roles = [message.get("role") for message in messages]
    later = roles[len(roles) - roles[::-1].index("assistant") :] if "assistant" in roles else roles
    return "tool" in later


def call(answer: Reply, name: str, arguments: str) -> None:
    """Turn the answer into one tool call."""
    function = {"name": name, "arguments": arguments}
    answer.pieces, answer.finish = (), "tool_calls"
    answer.message = {
        "content": None,
        "tool_calls": [{"id": "call_" + "0" * 20, "type": "function", "function": function}],
    }


def _structured(answer: Reply, request: dict[str, Any]) -> None:
    form = request.get("response_format") or {}
    question = asked_by_user(request["messages"])
    if form.get("type") == "json_schema":
        answer.pieces = split(orjson.dumps(example(form["json_schema"].get("schema") or {}, question)).decode())
    elif form.get("type") == "json_object":
        keys = re.findall(r"['\"`](\w+)['\"`]", question) or ["answer"]
        answer.pieces = split(orjson.dumps(dict.fromkeys(keys, "text")).decode())


def example(schema: dict[str, Any], question: str, root: dict[str, Any] | None = None) -> Any:
    """A value that fits a JSON schema; the question's first integer or quoted text is used for a matching field."""
    root = root or schema
    if "$ref" in schema:
        node: Any = root
        for key in schema["$ref"].removeprefix("#/").split("/"):
            node = node[key]
        return example(node, question, root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(schema[key][0], question, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        return {name: example(each, question, root) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items") or {}, question, root)]
    number = re.search(r"-?\d+", question)
    simple = {"integer": int(number[0]) if number else 3, "number": float(number[0]) if number else 3.0}
    quoted = re.search(r"'([^']+)'", question)
    return {**simple, "boolean": True, "null": None}.get(kind, quoted[1] if quoted else "text")


def _judge(answer: Reply, profile: Profile, request: dict[str, Any]) -> None:
    """A judge's token: M or m, and both log probabilities when they are asked for."""
    if profile.judge is None:
        return
    share = min(max(profile.judge, 1e-9), 1 - 1e-9)
    odds = sorted((("M", math.log(share)), ("m", math.log(1 - share))), key=lambda pair: -pair[1])
    answer.pieces = (odds[0][0],)
    if request.get("logprobs"):
        both = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in odds]
        shown = both[: int(request.get("top_logprobs") or 0)]
        answer.logprobs = {"content": [{**both[0], "top_logprobs": shown}], "refusal": None}


def _usage(answer: Reply, profile: Profile, size: int) -> dict[str, Any]:
    count = max(1, size // 4)
    received = len(answer.pieces) * answer.n
    usage = {"prompt_tokens": count, "completion_tokens": received, "total_tokens": count + received}
    if "reasoning_content" in answer.message:
        usage["completion_tokens"] += 8
        usage["total_tokens"] += 8
        usage["completion_tokens_details"] = {"reasoning_tokens": 8}
    return usage | ({"cost": profile.cost} if profile.cost is not None else {})


def _set(text: str | None = None, /, finish: str | None = None, **message: Any) -> Any:
    def change(answer: Reply) -> None:
        if text is not None:
            answer.pieces = split(text) if text else ()
        answer.finish = finish or answer.finish
        answer.message |= message

    return change


def _half(answer: Reply) -> None:
    answer.pieces, answer.finish = answer.pieces[: max(1, len(answer.pieces) // 2)], "length"


def _prefix(text: str) -> Any:
    def change(answer: Reply) -> None:
        answer.pieces = (*split(text), *answer.pieces)

    return change


def _list(answer: Reply) -> None:
    text = answer.text
    answer.message["content"] = [
        {"type": "text", "text": text[: len(text) // 2]},
        {"type": "text", "text": text[len(text) // 2 :]},
    ]


def _huge(answer: Reply) -> None:
    answer.pieces = ("x" * 65535 + " ",) * 32


_CONTENT: dict[str, Any] = {
    "null": _set("", content=None),
    "empty": _set(""),
    "blank": _set(" \n\t  \n"),
    "refuse": _set("", content=None, refusal="I can't help with that."),
    "filter": _set("", finish="content_filter"),
    "length": _half,
    "surrogate": _prefix("\ud83d lone \udc00 "),
    "nul": _prefix("be\x00fore \x00 "),
    "list": _list,
    "reasoning": _set("", content=None, reasoning_content="Let me think. "),
    "think": _prefix("<think>first I think\nabout it</think>\n\n"),
    "thinkopen": _set("<think>I think and think and never"),
    "toolcall": lambda answer: call(answer, "launch", '{"target": "moon"}'),
    "huge": _huge,
}
