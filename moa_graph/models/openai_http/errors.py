"""Errors as the SDK raises them: the same classes, messages, statuses and bodies, for the same faults."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx2
import openai

_BY_STATUS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


@asynccontextmanager
async def mapped(url: str) -> AsyncIterator[None]:
    """Turns aiohttp's errors into the SDK's.

    Raises:
        openai.APITimeoutError: a time limit of the transport.
        openai.APIConnectionError: any other failure between here and the provider.
    """
    try:
        yield
    except aiohttp.ServerTimeoutError as error:
        raise openai.APITimeoutError(request=request(url)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise openai.APIConnectionError(request=request(url)) from error


def request(url: str) -> httpx2.Request:
    """The request as errors carry it: where it went, without the headers, which hold the key."""
    return httpx2.Request("POST", url)


def response(url: str, answer: aiohttp.ClientResponse, body: bytes) -> httpx2.Response:
    """The provider's answer as errors carry it. The body is decoded already, which the headers must not deny."""
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _ENCODING]
    return httpx2.Response(answer.status, headers=headers, content=body, request=request(url))


_ENCODING = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def status_error(url: str, answer: aiohttp.ClientResponse, body: bytes) -> openai.APIStatusError:
    """The SDK's error for an HTTP status that is no success."""
    received = response(url, answer, body)
    text = f"Error code: {answer.status}"
    content: Any = received.text.strip()
    try:
        content = json.loads(content)
    except ValueError:
        error = None
    else:
        error = content.get("error", content) if isinstance(content, Mapping) else None
    told = error.get("message") if isinstance(error, Mapping) else None
    if isinstance(told, str) and told:
        text = f"{text} - {told}"
    kind = _BY_STATUS.get(answer.status)
    if kind is None:
        kind = openai.InternalServerError if answer.status >= 500 else openai.APIStatusError
    data = content.get("error", content) if isinstance(content, Mapping) else content
    return kind(text, response=received, body=data)


def stream_error(url: str, error: Any) -> openai.APIError:
    """The SDK's error for an error object in the middle of a stream."""
    told = error.get("message") if isinstance(error, Mapping) else None
    text = told if isinstance(told, str) and told else "An error occurred during streaming"
    return openai.APIError(text, request(url), body=error)
