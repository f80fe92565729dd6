"""The behaviour that a model name requests. One part of the name is one instruction; `FAULTS` lists the faults.

Latency and length
    50ms                 before the answer (or before the first chunk of a stream)
    p50=300 p99=5000     log-normal latency in ms; drawn by (model, last user message, nth time)
    ttft=100 tps=50      first token after 100 ms, then 50 tokens a second (a whole answer takes both)
    held                 half of a stream, then the rest at the next `Provider.release()`
    tok=200 chunk=4      tokens in the answer (64), tokens in an SSE chunk (1)
    rpm=600 most=8       requests a minute, requests at once; more get a 429 with Retry-After
Answers
    (default)            "[model] word word ..."
    echo                 the text of the last user message        prompt   all messages, as JSON
    say=a%20b            that text, percent-encoded               same     one text, whatever the model
    judge=0.7            "M" with probability 0.7 against "m" in its log probabilities
    nologprobs  warm     400 when log probabilities / a temperature other than 1 are asked for
    call=%7B...%7D       calls that tool (percent-encoded JSON: name, arguments), where the request offers it
    notools              never calls a tool (a tool in the request is otherwise called once, see replies.py)
    thinks               refuses to answer within fewer than 16 tokens, as OpenAI's reasoning models do
    nousage  cost=0.01   no usage in the answer / a cost in it, as OpenRouter does
Faults (append xK for the first K requests with the same last user message only: ``err429x2``, ``resetx1``)
    err400 .. err599     that status; ra=1, rams=20, radate=2 add Retry-After (s), retry-after-ms, an HTTP
                         date; p=0.1 is the fault's probability; html makes the error's body a web page
    see FAULTS           the rest
"""

import functools
import math
import random
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

FAULTS: dict[str, str] = {
    "err400": "bad request",
    "err401": "bad key",
    "err403": "not allowed",
    "err404": "no such page",
    "err408": "the provider gave up waiting",
    "err409": "conflict",
    "err422": "unprocessable",
    "err429": "too many requests",
    "err500": "server error",
    "err502": "bad gateway",
    "err503": "unavailable",
    "err529": "overloaded",
    "quota": "429 that no waiting mends: code insufficient_quota",
    "nomodel": "404, code model_not_found",
    "overflow": "400, code context_length_exceeded, OpenAI's wording",
    "overflowcode": "400, code context_length_exceeded, other wording",
    "redirect": "307 to another host",
    "reset": "TCP reset before the first byte",
    "resetmid": "TCP reset in the middle of the body or stream",
    "cut": "connection closed in the middle of the body or stream",
    "hang": "no byte, ever",
    "hangmid": "silence in the middle of the body or stream",
    "drip": "a byte (or a character of a stream) each 100 ms; drip=20 for 20 ms",
    "html": "200 with a web page",
    "truncated": "200 whose JSON (or one SSE event) is cut short",
    "errmid": "a stream that turns into an error object after 3 chunks; not streamed, 200 with one",
    "nodone": "a stream that ends without a finish reason and without [DONE]",
    "wrongtype": "a right answer with content type text/plain",
    "nochoices": '"choices": []',
    "nullchoices": '"choices": null',
    "null": '"content": null',
    "empty": '"content": ""',
    "blank": "only white space",
    "refuse": "a refusal in its own field",
    "filter": "finish reason content_filter, empty content",
    "length": "finish reason length, half an answer",
    "surrogate": "lone surrogates in the text",
    "nul": "NUL characters in the text",
    "list": "content as a list of parts",
    "reasoning": "reasoning_content only, no content",
    "think": "<think> text before the answer",
    "thinkopen": "<think> that is never closed",
    "toolcall": "a tool call that nobody asked for",
    "same": "the same draft from every model",
    "huge": "a draft of 2 MB",
}
"""Every fault by the part of a model name that causes it."""

ANSWERED = ("wrongtype", "length", "surrogate", "nul", "list", "think", "same", "huge")
"""Unusual answers with a usable text."""

REFUSED = tuple(name for name in FAULTS if name not in ANSWERED)
"""Faults without a usable answer (a slow drip is one if there is a deadline)."""

_SPLIT = re.compile(r"[-,/_]")
_FIXED = re.compile(r"^(\d+(?:\.\d+)?)ms$")
_FAULT = re.compile(r"^([a-z]+|err\d{3})(?:x(\d+))?$")
_Z99 = 2.3263478740408408
_WORDS_ALLOWED = frozenset({"echo", "prompt", "notools", "nousage", "nologprobs", "thinks", "warm", "held"})


@dataclass
class Profile:
    """A parsed model name. Times are seconds."""

    model: str
    fixed: float = 0.0
    p50: float | None = None
    p99: float | None = None
    ttft: float | None = None
    tps: float | None = None
    tok: int = 64
    chunk: int = 1
    drip: float = 0.1
    probability: float = 1.0
    retry_after: list[tuple[str, str]] = field(default_factory=list)
    say: str | None = None
    call: str | None = None
    judge: float | None = None
    cost: float | None = None
    rpm: float | None = None
    most: int | None = None
    status: int | None = None
    first: int | None = None
    faults: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    @property
    def draws(self) -> bool:
        """Whether the answer depends on how often it was asked."""
        return self.p50 is not None or bool(self.faults) or self.status is not None

    def latency(self, dice: random.Random) -> float:
        """Seconds until the answer starts."""
        wait = self.fixed + (self.ttft or 0.0)
        if self.p50 is not None:
            sigma = math.log((self.p99 or self.p50) / self.p50) / _Z99
            wait += self.p50 * math.exp(sigma * dice.gauss(0.0, 1.0))
        return wait

    def due(self, nth: int, dice: random.Random) -> bool:
        """Return whether the fault applies to the nth (0-based) request."""
        if self.first is not None and nth >= self.first:
            return False
        return self.probability >= 1.0 or dice.random() < self.probability


def _value(profile: Profile, key: str, text: str) -> None:
    seconds = {"p50": "p50", "p99": "p99", "ttft": "ttft", "drip": "drip"}
    numbers = {"tps": "tps", "rpm": "rpm", "judge": "judge", "cost": "cost", "p": "probability"}
    if key in seconds:
        setattr(profile, seconds[key], float(text) / 1e3)
    elif key in numbers:
        setattr(profile, numbers[key], float(text))
    elif key in ("tok", "chunk", "most"):
        setattr(profile, key, int(text))
    elif key in ("ra", "rams", "radate"):
        profile.retry_after.append((key, text))
    elif key == "say":
        profile.say = unquote(text)
    elif key == "call":
        profile.call = unquote(text)
    if key == "drip":
        profile.faults.add("drip")


def _word(profile: Profile, word: str) -> None:
    if fixed := _FIXED.match(word):
        profile.fixed = float(fixed[1]) / 1e3
    elif word in _WORDS_ALLOWED:
        profile.words.add(word)
    elif fault := _FAULT.match(word):
        name, first = fault[1], fault[2]
        if name not in FAULTS and not re.fullmatch(r"err\d{3}", name):
            return
        if name.startswith("err") and name != "errmid":
            profile.status = int(name[3:])
        profile.faults.add(name)
        profile.first = int(first) if first else profile.first


@functools.lru_cache(4096)
def parse(model: str) -> Profile:
    """Parse a model name. Unknown parts and invalid numbers are ignored."""
    profile = Profile(model)
    for part in _SPLIT.split(model):
        key, is_value, text = part.partition("=")
        if not is_value:
            _word(profile, part.lower())
            continue
        try:
            _value(profile, key.lower(), text)
        except ValueError:
            continue
    return profile
