"""What stands in for the SDK's `client.chat.completions` under a LangChain chat model."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from moa_graph.models.openai_http.connections import SESSIONS, trust
from moa_graph.models.openai_http.errors import mapped, response, status_error
from moa_graph.models.openai_http.sse import loads
from moa_graph.models.openai_http.stream import Stream

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI


class Completions:
    """`create` and `with_raw_response.create`, answered with dicts; anything unknown is the SDK's.

    Never retries and has no time limits: both belong to the caller.
    """

    def __init__(
        self, base_url: str, *, headers: Mapping[str, str], sdk: AsyncOpenAI, proxy: str | None = None
    ) -> None:
        self.sdk = sdk
        self.url = f"{base_url.rstrip('/')}/chat/completions"
        self.headers = {"accept": "application/json", "content-type": "application/json", **headers}
        self.proxy = proxy
        # Now, before any deadline runs: the first time takes a while.
        self._trust = trust(base_url)
        self.with_raw_response = Raw(self)

    async def create(self, **payload: Any) -> Any:
        """A dict, or with `stream` an asynchronous context manager over dicts."""
        body = encoded(payload)
        if body is None:
            return await self.sdk.chat.completions.create(**payload)
        if payload.get("stream"):
            return Stream(self.url, await self.post(body))
        return (await self.whole(body)).parse()

    async def whole(self, body: bytes) -> Answer:
        """One answer that is not streamed."""
        answer = await self.post(body)
        async with mapped(self.url):
            return Answer(self.url, answer, await answer.read())

    async def post(self, body: bytes) -> aiohttp.ClientResponse:
        """The answer's head; its body is still to be read.

        Raises:
            openai.APIError: any status but a success, and any failure of the connection.
        """
        async with mapped(self.url):
            client = await SESSIONS.get()
            # A redirect would carry the conversation, and the key, to a host that is not the provider's.
            # Long bodies go out in pieces: sent whole they hold the event loop up, and aiohttp warns.
            data = body if len(body) < 2**20 else io.BytesIO(body)
            answer = await client.post(
                self.url,
                data=data,
                headers=self.headers,
                ssl=self._trust,
                proxy=self.proxy,
                allow_redirects=False,
            )
            if 200 <= answer.status < 300:
                return answer
            raise status_error(self.url, answer, await answer.read())


class Raw:
    """`with_raw_response`: the answer with its headers, to be parsed by the caller."""

    def __init__(self, completions: Completions) -> None:
        self._completions = completions

    async def create(self, **payload: Any) -> Any:
        body = encoded(payload)
        if body is None or payload.get("stream"):
            # A raw stream is asked for only by those who want its headers; the SDK has it all.
            return await self._completions.sdk.chat.completions.with_raw_response.create(**payload)
        return await self._completions.whole(body)


class Answer:
    """A body that has been read."""

    def __init__(self, url: str, answer: aiohttp.ClientResponse, body: bytes) -> None:
        self._url, self._answer, self._body = url, answer, body

    @functools.cached_property
    def http_response(self) -> httpx2.Response:
        return response(self._url, self._answer, self._body)

    @property
    def headers(self) -> httpx2.Headers | Mapping[str, str]:
        """Case does not matter in the keys."""
        return self._answer.headers

    def parse(self) -> Any:
        """A dict; the SDK's own object for what a dict would not carry on, such as a refusal or missing choices.

        Raises:
            ValueError: a body that is called JSON and is none.
        """
        kind = self._answer.headers.get("content-type", "*").partition(";")[0]
        try:
            data = loads(self._body)
        except ValueError:
            if kind.endswith("json"):
                raise
            return self.http_response.text
        if not isinstance(data, dict) or _plain(data):
            return data
        from openai.types.chat import ChatCompletion

        return ChatCompletion.construct(**data)


def _plain(data: dict[str, Any]) -> bool:
    """Whether LangChain makes the same of this dict as of the SDK's object."""
    choices = data.get("choices")
    if not isinstance(choices, list) or data.get("error"):
        return False
    messages = [choice.get("message") if isinstance(choice, dict) else None for choice in choices]
    return all(isinstance(message, dict) and not message.get("refusal") for message in messages)


def encoded(payload: dict[str, Any]) -> bytes | None:
    """The request's body; `None` when it is one for the SDK: an unknown parameter, or a value that is no plain JSON."""
    extra = payload.get("extra_body")
    if not payload.keys() <= _KNOWN or not (extra is None or isinstance(extra, dict)):
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
"""The parameters of the SDK's `create` that go into the body as they are (asking the SDK would load all of it)."""

_KNOWN = PARAMETERS | {"extra_body"}
