"""One chat completion on one connection: waiting, writing, failing."""

import itertools
import random
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Protocol

import orjson

from tests.provider import render
from tests.provider.limits import Limits
from tests.provider.profile import Profile, parse
from tests.provider.record import Log, Request
from tests.provider.replies import asked_by_user, limit_of, reply

NUMBERS = itertools.count(1)
OVERFLOW = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. "
    "Please reduce the length of the messages."
)
UNFINISHED = (
    "Could not finish the message because max_tokens or model output limit was reached. "
    "Please try again with higher max_tokens."
)
ERRORS: dict[str, tuple[int, str, str, str | None]] = {
    "quota": (
        429,
        "You exceeded your current quota, please check your plan.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "nomodel": (
        404,
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    "overflow": (400, OVERFLOW, "invalid_request_error", "context_length_exceeded"),
    "thinks": (400, UNFINISHED, "invalid_request_error", None),
    "overflowcode": (400, "Too much of it.", "invalid_request_error", "context_length_exceeded"),
}
MIDDLE = frozenset({"resetmid", "cut", "hangmid", "errmid", "truncated"})
"""Faults that let part of an answer through."""


class Line(Protocol):
    """The interface of a connection."""

    loop: Any

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def reset(self) -> None: ...


class Chat:
    """Answers `asked` over `line`. `gone` is called when the client disconnects."""

    def __init__(self, line: Line, log: Log, request: Request, asked: dict[str, Any]) -> None:
        self.line, self.log, self.request, self.asked = line, log, request, asked
        self.profile: Profile = parse(request.model)
        self.faults: frozenset[str] = frozenset()
        self.timer: Any = None

    def start(self) -> None:
        """Decide what happens, then wait as long as the model does."""
        profile = self.profile
        if (wait := self._over_limits()) is not None:
            headers = (("retry-after", f"{wait:g}"),)
            body = render.error(429, "Rate limit reached.", "requests", "rate_limit_exceeded")
            self.line.write(render.response(429, body, headers=headers))
            return self._end("error")
        dice = random.Random()
        if profile.draws:
            question = asked_by_user(self.asked["messages"])
            nth = self.log.nth(profile.model, question)
            dice = random.Random(f"{profile.model}\0{question}\0{nth}")
            if profile.faults and profile.due(nth, dice):
                self.faults = frozenset(profile.faults)
        return self._later(profile.latency(dice), self._answer)

    def _over_limits(self) -> float | None:
        """Return the Retry-After of a request over the model's limits."""
        model, profile = self.profile.model, self.profile
        if profile.rpm is None and profile.most is None:
            return None
        limits = self.log.limits.setdefault(model, Limits(profile.rpm, profile.most))
        # This request is counted as under way already.
        return limits.refused(time.monotonic(), self.log.in_flight[model] - 1)

    def gone(self) -> None:
        """Handle a disconnect of the client."""
        if self.timer:
            self.timer.cancel()
        self.log.leave(self.request, "disconnected")

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        if seconds > 0:
            self.timer = self.line.loop.call_later(seconds, then)
        else:
            then()

    def _end(self, outcome: str) -> None:
        self.timer = None
        self.log.leave(self.request, outcome)

    def _answer(self) -> None:
        if self.faults & {"hang"}:
            return
        if self.faults & {"reset"}:
            self._end("reset")
            self.line.reset()
        elif failed := self._error() or self._unsupported():
            self.line.write(failed)
            self._end("error")
        elif self.asked.get("stream"):
            self._stream()
        else:
            self._whole()

    # Errors

    def _error(self) -> bytes | None:
        """Send the HTTP error or the web page that the model's name requests."""
        if "redirect" in self.faults:
            return render.response(307, b"", headers=(("location", "http://127.0.0.2:9/v1/chat/completions"),))
        if "html" in self.faults and not self.profile.status:
            return render.response(200, render.PAGE, "text/html")
        named = next((ERRORS[name] for name in sorted(self.faults | self._unfinished()) if name in ERRORS), None)
        status = self.profile.status if self.faults & {f"err{self.profile.status}"} else None
        if named is None and status is None:
            return None
        code, message, kind, name = named or (
            status or 500,
            f"loopback says {status}",
            "loopback_error",
            str(status),
        )
        if "html" in self.faults:
            return render.response(code, render.PAGE, "text/html", self._retry_after())
        return render.response(code, render.error(code, message, kind, name), headers=self._retry_after())

    def _unsupported(self) -> bytes | None:
        """The refusal of a parameter that the model does not take, in OpenAI's words."""
        sent = {"nologprobs": "logprobs" if self.asked.get("logprobs") else None}
        sent["warm"] = "temperature" if self.asked.get("temperature", 1) != 1 else None
        for word in sorted(self.profile.words & sent.keys()):
            if name := sent[word]:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return render.response(
                    400, render.error(400, message, "invalid_request_error", "unsupported_parameter")
                )
        return None

    def _unfinished(self) -> set[str]:
        """Refuse like a reasoning model whose thoughts do not fit."""
        return {"thinks"} & self.profile.words if (limit_of(self.asked) or 16) < 16 else set()

    def _retry_after(self) -> tuple[tuple[str, str], ...]:
        def header(kind: str, value: str) -> tuple[str, str]:
            if kind == "rams":
                return "retry-after-ms", value
            return "retry-after", value if kind == "ra" else formatdate(time.time() + float(value), usegmt=True)

        return tuple(header(*each) for each in self.profile.retry_after)

    # Answers

    def _odd_choices(self) -> Any:
        if "nochoices" in self.faults:
            return []
        return None if "nullchoices" in self.faults else ()

    def _reply(self) -> Any:
        seed = orjson.dumps(self.asked["messages"])
        return reply(self.profile, self.asked, seed, self.faults)

    def _whole(self) -> None:
        answer = self._reply()
        body = render.numbered(render.completion(answer, self._odd_choices()), next(NUMBERS))
        if "errmid" in self.faults:
            body = render.error(200, "loopback broke", "server_error", None)
        if "truncated" in self.faults:
            body = body[: len(body) // 2]
        kind = "text/plain" if "wrongtype" in self.faults else "application/json"
        data = render.response(200, body, kind)
        self._later(
            len(answer.pieces) / self.profile.tps if self.profile.tps else 0.0,
            lambda: self._send(data, len(body)),
        )

    def _send(self, data: bytes, size: int) -> None:
        self.request.first = time.perf_counter()
        half = len(data) - size + size // 2
        if self.faults & {"resetmid", "cut", "hangmid"}:
            self.line.write(data[:half])
            return self._stop()
        if "drip" in self.faults:
            self.line.write(data[: len(data) - size])
            return self._drip([data[i : i + 1] for i in range(len(data) - size, len(data))], 0)
        self.line.write(data)
        return self._end("answered")

    def _stop(self) -> None:
        """Break off in the middle, after a moment in which the written part arrives."""
        if "hangmid" in self.faults:
            return
        end = self.line.reset if "resetmid" in self.faults else self.line.close

        def stop() -> None:
            self._end("reset")
            end()

        self.timer = self.line.loop.call_later(0.005, stop)

    def _stream(self) -> None:
        answer = self._reply()
        usage = bool((self.asked.get("stream_options") or {}).get("include_usage"))
        size = 1 if "drip" in self.faults else self.profile.chunk
        if "drip" in self.faults:
            answer.pieces = tuple(answer.text)
        number = next(NUMBERS)
        parts = list(render.events(answer, size, usage, self._odd_choices()))
        if self.faults & MIDDLE:
            parts = self._broken(parts)
        elif "nodone" in self.faults:
            parts = parts[: 1 + len(answer.pieces) // 2]
        else:
            parts.append(render.DONE)
        head = render.stream_head("text/plain" if "wrongtype" in self.faults else "text/event-stream; charset=utf-8")
        self._send_stream(head, [render.chunk(render.numbered(part, number)) for part in parts])

    def _broken(self, parts: list[bytes]) -> list[bytes]:
        if "errmid" in self.faults:
            failed = b"data: " + render.error(200, "loopback broke in mid-stream", "server_error", None) + b"\n\n"
            return [*parts[:3], failed]
        if "truncated" in self.faults:
            return [parts[0], parts[1][: len(parts[1]) // 2] + b"\n\n", *parts[2:], render.DONE]
        return parts[:3]

    def _send_stream(self, head: bytes, chunks: list[bytes]) -> None:
        self.request.first = time.perf_counter()
        self.line.write(head)
        if self.faults & {"resetmid", "cut", "hangmid"}:
            self.line.write(b"".join(chunks))
            return self._stop()
        chunks.append(b"0\r\n\r\n")
        if "held" in self.profile.words:
            half = len(chunks) // 2
            self.line.write(b"".join(chunks[:half]))
            return self.log.held.append(lambda: self._go_on(chunks[half:]))
        if "drip" in self.faults:
            return self._drip(chunks, 0)
        if self.profile.tps:
            self.line.write(chunks[0])
            return self._pace(chunks, 1, time.perf_counter())
        self.line.write(b"".join(chunks))
        return self._end("answered")

    def _go_on(self, chunks: list[bytes]) -> None:
        if self.request.outcome == "open":
            self.line.write(b"".join(chunks))
            self._end("answered")

    def _drip(self, parts: list[bytes], at: int) -> None:
        """Send one part every `drip` seconds."""
        self.line.write(parts[at])
        if at + 1 == len(parts):
            return self._end("answered")
        self._later(self.profile.drip, lambda: self._drip(parts, at + 1))
        return None

    def _pace(self, chunks: list[bytes], at: int, began: float) -> None:
        """Chunks at the model's rate, measured from the first; the end of the stream is sent with the last token."""
        if at >= len(chunks) - 4:
            self.line.write(b"".join(chunks[at:]))
            return self._end("answered")
        self.line.write(chunks[at])
        due = began + (at + 1) * self.profile.chunk / (self.profile.tps or 1.0)
        self._later(max(due - time.perf_counter(), 1e-6), lambda: self._pace(chunks, at + 1, began))
        return None
