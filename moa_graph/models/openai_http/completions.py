"""The replacement of the SDK's `client.chat.completions` under a LangChain chat model."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import aiohttp
import httpx2
import openai
import orjson

from moa_graph.models.batching import BatchReply, batcher_for
from moa_graph.models.faults.bodies import message_in
from moa_graph.models.http.json_bodies import loads
from moa_graph.models.http.transport import Transport, body_of, decoded_headers, error_body
from moa_graph.models.limits import MAX_ERROR_BYTES, MAX_REPLY_BYTES
from moa_graph.models.openai_http.stream import chunks_of, no_choices, raise_error_in, sdk_errors, whole_of
from moa_graph.models.reply.reply import IN_THREAD, is_long

_GATEWAY: Final = "X-LangSmith-Gateway-Metadata"
"""A header that LangChain reads into a reply's metadata."""
_FEW: Final = 16
"""Choices whose messages are made on the event loop. Some servers send a thousand, whatever was asked for."""


class ShortReply(Exception):
    """A short reply that has arrived, raised past LangChain's code for it.

    LangChain makes the message of every reply in a thread. For a short one the thread takes longer than the work: two
    switches between threads, and a wake-up of the event loop.

    Attributes:
        data: The reply.
        headers: Its headers.
    """

    def __init__(self, data: dict[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__("a short reply")
        self.data, self.headers = data, headers


class _Plain(NamedTuple):
    """A reply of which LangChain makes the same as of the SDK's object.

    Attributes:
        data: The reply.
        headers: Its headers.
        size: Its bytes.
    """

    data: dict[str, Any]
    headers: Mapping[str, str]
    size: int

    @property
    def short(self) -> bool:
        """Whether its messages are made in less time than a thread takes."""
        return self.size <= IN_THREAD and len(self.data["choices"]) <= _FEW and _GATEWAY not in self.headers

    def parse(self) -> dict[str, Any]:
        """Return the reply, as the SDK's raw replies do."""
        return self.data


class Completions:
    """`create` and `with_raw_response.create`, answered with dicts; anything unknown goes through the SDK.

    Never retries and has no time limits: both belong to the caller.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], transport: Transport, sdk: Any) -> None:
        self.sdk = sdk
        self.with_raw_response = SimpleNamespace(create=self._raise_short)
        self._base_url, self._transport = base_url, transport
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"accept": "application/json", "content-type": "application/json", **headers}

    async def create(self, **payload: Any) -> Any:
        """Return a dict, or with `stream` an asynchronous context manager over dicts."""
        if not payload.get("stream"):
            return (await self._raw(**payload)).parse()
        body = await _encoded(payload)
        if body is None:
            return await self.sdk.chat.completions.create(**payload)
        asked = bool(payload.get("logprobs") or (payload.get("extra_body") or {}).get("logprobs"))
        return contextlib.aclosing(chunks_of(self._url, await self._post(body, payload), logprobs=asked))

    async def _raise_short(self, **payload: Any) -> Any:
        """Return what `_raw` does, but raise a short reply as `ShortReply`."""
        raw = await self._raw(**payload)
        if isinstance(raw, _Plain) and raw.short:
            raise ShortReply(raw.data, raw.headers)
        return raw

    async def _raw(self, **payload: Any) -> Any:
        """Return the reply with its headers, to be parsed by the caller."""
        body = await _encoded(payload)
        if body is None or payload.get("stream"):
            return await self.sdk.chat.completions.with_raw_response.create(**payload)
        if (batcher := batcher_for(self._base_url)) is not None:
            reply = await batcher.send(self._base_url, self._headers, body)
            if reply is not None:
                return await self._of_batch(reply, payload)
        response = await self._post(body, payload)
        received = await self._read(response)
        data = await self._parsed(received)
        error = data.get("error") if isinstance(data, dict) else None
        if isinstance(data, dict) and not (isinstance(error, dict) and any(error.values())):  # which LangChain reports
            raise_error_in(data, self._url)
            if "choices" not in data or (not data["choices"] and message_in(data)):
                raise ValueError(no_choices(data))
        if isinstance(data, dict) and _is_plain(data):
            return _Plain(data, response.headers, len(received))
        return await self._as_the_sdk_reads(response, received, payload)

    async def _parsed(self, received: bytes) -> Any:
        """Return the JSON of a reply, also of one that was streamed unasked; None if the SDK is to report what it is.

        Raises:
            ValueError: It is neither.
        """
        if not received.strip():
            raise ValueError("the reply is empty")
        try:
            return loads(received)
        except ValueError as error:
            if received.lstrip().startswith(b"{"):
                if isinstance(error, json.JSONDecodeError) and len(received) <= MAX_ERROR_BYTES:
                    return None
                raise
            streamed = await asyncio.to_thread(whole_of, received, self._url)
            if streamed is None:
                raise ValueError(message_in(received)) from None
            return streamed

    async def _of_batch(self, reply: BatchReply, payload: dict[str, Any]) -> Any:
        """Return the reply to a request of a batch. Errors are raised as the SDK raises them."""
        if reply.status < 300 and _is_plain(reply.body):
            return SimpleNamespace(parse=lambda: reply.body, headers={})
        response: Any = SimpleNamespace(status=reply.status, raw_headers=[(b"content-type", b"application/json")])
        return await self._as_the_sdk_reads(response, orjson.dumps(reply.body), payload)

    async def _post(self, body: bytes, payload: dict[str, Any]) -> aiohttp.ClientResponse:
        """Return the head of a successful reply; its body is still to be read.

        Raises:
            openai.APIError: Any other status, and any failure of the connection.
        """
        with sdk_errors(self._url):
            response = await self._transport.post(self._url, self._headers, body)
        if 200 <= response.status < 300:
            return response
        await self._as_the_sdk_reads(response, await error_body(response), payload)
        raise AssertionError("the SDK accepted an HTTP error")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        with sdk_errors(self._url):
            return b"".join([piece async for piece in body_of(response, MAX_REPLY_BYTES)])

    async def _as_the_sdk_reads(self, response: aiohttp.ClientResponse, body: bytes, payload: dict[str, Any]) -> Any:
        """Let the SDK read a reply that was received already: an error, or a body that is out of the ordinary.

        It does so in a thread: what it imports and builds at its first use takes up to 250 ms.
        """
        reply = httpx2.Response(response.status, headers=decoded_headers(response), content=body)

        def read() -> Any:
            http = httpx2.Client(transport=httpx2.MockTransport(lambda request: reply))
            sdk = openai.OpenAI(api_key="none", base_url=self._base_url, max_retries=0, http_client=http)
            raw = sdk.chat.completions.with_raw_response.create(**payload)
            with contextlib.suppress(Exception):  # the caller parses it again, and reports what fails
                raw.parse()
            return raw

        return await asyncio.to_thread(read)


def _is_plain(data: dict[str, Any]) -> bool:
    """Return whether LangChain makes the same of this dict as of the SDK's object."""
    choices = data.get("choices")
    if not isinstance(choices, list) or data.get("error"):
        return False
    messages = [choice.get("message") if isinstance(choice, dict) else None for choice in choices]
    return all(isinstance(message, dict) and not message.get("refusal") for message in messages)


async def _encoded(payload: dict[str, Any]) -> bytes | None:
    """Return `encoded(payload)`. A long one is encoded in a thread, because all proposers encode theirs in one turn."""
    messages = payload["messages"]
    texts = [message["content"] for message in messages if len(message) == 2 and type(message.get("content")) is str]
    # Most messages are a role and a text. `is_long` would take ten times as long for these.
    long = sum(map(len, texts)) > IN_THREAD or (len(texts) < len(messages) and is_long(messages))
    return await asyncio.to_thread(encoded, payload) if long else encoded(payload)


def encoded(payload: dict[str, Any]) -> bytes | None:
    """Return the request's body, or None for a request that only the SDK can send.

    That is one with an unknown parameter, or with a value that is not plain JSON.
    """
    extra = payload.get("extra_body")
    if not payload.keys() <= PARAMETERS | {"extra_body"} or not (extra is None or isinstance(extra, dict)):
        return None
    if extra is not None:
        payload = {**{key: value for key, value in payload.items() if key != "extra_body"}, **extra}
    try:
        return orjson.dumps(payload)
    except TypeError:
        return None


_NAMES = """
    audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages
    metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier
    stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity
    web_search_options
"""
PARAMETERS = frozenset(_NAMES.split())
"""The parameters of the SDK's `create` that go into the body as they are."""
