"""The documented endpoints of Batch APIs: files, batches, their status and their output.

OpenAI's form is the default; Together's differs in the upload, the lines and the case of the status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson

from moa_graph.models.batching import TIER, BatchReply
from moa_graph.models.http.json_bodies import loads
from moa_graph.models.limits import ReplyTooLarge

__all__ = ["ENDED", "MAX_BYTES", "MAX_LINES", "EndpointError", "Endpoints", "Line", "Status"]

MAX_LINES = 50_000
"""Requests of one batch, at OpenAI and at Together."""

MAX_BYTES = 95_000_000
"""Bytes of one file: Together takes 100 MB, OpenAI 200 MB."""

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""The states in which a batch does not change any more."""

_CHAT = "/v1/chat/completions"
_TOGETHER = "api.together.xyz"


class EndpointError(Exception):
    """A Batch API refused a request, cannot be reached, or replies something else than its documentation says.

    Attributes:
        status: The HTTP status; None when there was no reply. Below 300, the reply could not be read.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Line:
    """One request of a batch: its custom id, and the chat request as JSON."""

    id: str
    body: bytes


@dataclass(frozen=True)
class Status:
    """The state of a batch.

    Attributes:
        state: In lower case; see `ENDED`.
        files: The ids of its output file and of its error file, as far as there are any.
        reason: Why it failed.
    """

    state: str
    files: Sequence[str] = ()
    reason: str = ""


@dataclass
class Endpoints:
    """The Batch API of one server.

    Attributes:
        base_url: The server's address, with the version.
        headers: The headers of its requests, with the key.
    """

    base_url: str
    headers: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        self._url = self.base_url.rstrip("/")
        self._together = _TOGETHER in self._url
        # The content type belongs to a chat request; here it differs from request to request.
        sent = {name: value for name, value in self.headers.items() if name.lower() not in ("content-type", "accept")}
        self._http = httpx2.AsyncClient(headers=sent, timeout=httpx2.Timeout(60.0, read=300.0))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upload(self, lines: Sequence[Line]) -> str:
        """Upload the requests and return the file's id. A file alone costs nothing."""
        data = b"\n".join(map(self._encoded, lines)) + b"\n"
        name, form = "requests.jsonl", {"purpose": "batch"}
        if self._together:
            form = {"purpose": "batch-api", "file_name": name, "file_type": "jsonl"}
        path = "/files/upload" if self._together else "/files"
        made = await self._object("POST", path, data=form, files={"file": (name, data, "application/jsonl")})
        return _id(made, path)

    def _encoded(self, line: Line) -> bytes:
        body = orjson.Fragment(line.body)
        if self._together:
            return orjson.dumps({"custom_id": line.id, "body": body})
        return orjson.dumps({"custom_id": line.id, "method": "POST", "url": _CHAT, "body": body})

    async def create(self, file: str) -> str:
        """Start the batch of an uploaded file and return its id. From here on it is paid for."""
        given = {"input_file_id": file, "endpoint": _CHAT, "completion_window": "24h"}
        made = await self._object("POST", "/batches", json=given)
        job = made.get("job")
        return _id(job if isinstance(job, dict) else made, "/batches")

    async def find(self, file: str) -> str | None:
        """Return the id of the batch that was made of a file, if there is one."""
        after: str | None = None
        while True:
            listed: Any = await self._json(
                "GET", "/batches", params={"limit": 100, **({"after": after} if after else {})}
            )
            found = listed.get("data") if isinstance(listed, dict) else listed
            if not isinstance(found, list):
                raise EndpointError("/batches: the reply is not a list of batches", 200)
            batches = [batch for batch in found if isinstance(batch, dict)]
            for batch in batches:
                if batch.get("input_file_id") == file:
                    return _id(batch, "/batches")
            if not (isinstance(listed, dict) and listed.get("has_more") and batches):
                return None
            after = _id(batches[-1], "/batches")

    async def status(self, batch: str) -> Status:
        """Return the state of a batch."""
        path = f"/batches/{batch}"
        found = await self._object("GET", path)
        state = found.get("status")
        if not (isinstance(state, str) and state):
            raise EndpointError(f"{path}: the reply has no status", 200)
        files = [str(found[name]) for name in ("output_file_id", "error_file_id") if found.get(name)]
        return Status(state.lower(), files, _reason(found))

    async def replies(self, file: str) -> dict[str, BatchReply]:
        """Return the replies in an output or error file, by custom id. Lines that are not replies are left out."""
        response = await self._send("GET", f"/files/{file}/content", follow_redirects=True)
        found = {}
        for line in response.content.splitlines():
            try:
                row = loads(line)
                if isinstance(row, dict) and isinstance(custom := row.get("custom_id"), str):
                    found[custom] = _reply(row)
            except (ValueError, ReplyTooLarge):
                continue
        return found

    async def _object(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found = await self._json(method, path, **options)
        if not isinstance(found, dict):
            raise EndpointError(f"{path}: the reply is not a JSON object", 200)
        return found

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        response = await self._send(method, path, **options)
        try:
            return loads(response.content)
        except (ValueError, ReplyTooLarge):
            raise EndpointError(f"{path}: the reply is not JSON", response.status_code) from None

    async def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = await self._http.request(method, f"{self._url}{path}", **options)
        except httpx2.HTTPError as exc:
            raise EndpointError(f"{path}: {type(exc).__name__}") from exc
        if not response.is_success:
            raise EndpointError(f"{path}: HTTP {response.status_code} {response.text[:300]}", response.status_code)
        return response


def _id(found: Mapping[str, Any], path: str) -> str:
    if isinstance(given := found.get("id"), str) and given:
        return given
    raise EndpointError(f"{path}: the reply has no id", 200)


def _reason(found: Mapping[str, Any]) -> str:
    """Return why a batch failed: the messages of its errors, or whatever stands there."""
    errors = found.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else errors
    texts = (
        [each.get("message") if isinstance(each, dict) else each for each in listed] if isinstance(listed, list) else []
    )
    return "; ".join(map(str, texts)) or str(found.get("error") or listed or "")


def _status(given: Any, body: Mapping[str, Any]) -> int:
    """Return the HTTP status of a reply. If it is not a status, the body decides."""
    if isinstance(given, str) and len(given) == 3 and given.isascii() and given.isdecimal():
        given = int(given)
    if isinstance(given, int | float) and not isinstance(given, bool) and 100 <= given <= 599:
        return int(given)
    return 500 if body.get("error") else 200


def _reply(row: Mapping[str, Any]) -> BatchReply:
    response, error = row.get("response"), row.get("error")
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping):
        body = {**response["body"]}
        status = _status(response.get("status_code"), body)
        return BatchReply(status, {**body, "service_tier": TIER} if status < 300 else body)
    said: Any = error if isinstance(error, Mapping) else {"message": str(error)}
    expired = said.get("code") == "batch_expired"
    return BatchReply(504 if expired else 500, {"error": {"message": said.get("message"), "code": said.get("code")}})
