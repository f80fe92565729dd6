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
from moa_graph.models.json_bodies import loads
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
    """A Batch API refused a request, or cannot be reached.

    Attributes:
        status: The HTTP status; None when there was no reply.
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
        made = await self._json("POST", path, data=form, files={"file": (name, data, "application/jsonl")})
        return str(made["id"])

    def _encoded(self, line: Line) -> bytes:
        body = orjson.Fragment(line.body)
        if self._together:
            return orjson.dumps({"custom_id": line.id, "body": body})
        return orjson.dumps({"custom_id": line.id, "method": "POST", "url": _CHAT, "body": body})

    async def create(self, file: str) -> str:
        """Start the batch of an uploaded file and return its id. From here on it is paid for."""
        given = {"input_file_id": file, "endpoint": _CHAT, "completion_window": "24h"}
        made = await self._json("POST", "/batches", json=given)
        return str((made.get("job") or made)["id"])

    async def find(self, file: str) -> str | None:
        """Return the id of the batch that was made of a file, if there is one."""
        after: str | None = None
        while True:
            listed: Any = await self._json(
                "GET", "/batches", params={"limit": 100, **({"after": after} if after else {})}
            )
            found = listed if isinstance(listed, list) else listed.get("data") or []
            for batch in found:
                if batch.get("input_file_id") == file:
                    return str(batch["id"])
            if not (isinstance(listed, dict) and listed.get("has_more") and found):
                return None
            after = str(found[-1]["id"])

    async def status(self, batch: str) -> Status:
        """Return the state of a batch."""
        found = await self._json("GET", f"/batches/{batch}")
        errors = (found.get("errors") or {}).get("data") or []
        reason = "; ".join(str(each.get("message")) for each in errors) or str(found.get("error") or "")
        files = [str(found[name]) for name in ("output_file_id", "error_file_id") if found.get(name)]
        return Status(str(found.get("status", "")).lower(), files, reason)

    async def replies(self, file: str) -> dict[str, BatchReply]:
        """Return the replies in an output or error file, by custom id. Lines that are not JSON are left out."""
        response = await self._send("GET", f"/files/{file}/content", follow_redirects=True)
        found = {}
        for line in response.content.splitlines():
            try:
                row = loads(line)
                found[str(row["custom_id"])] = _reply(row)
            except (ValueError, KeyError, TypeError, ReplyTooLarge):
                continue
        return found

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = await self._send(method, path, **options)
        try:
            found: dict[str, Any] = response.json()
        except ValueError:
            raise EndpointError(f"{path}: the reply is not JSON.", response.status_code) from None
        return found

    async def _send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        try:
            response = await self._http.request(method, f"{self._url}{path}", **options)
        except httpx2.HTTPError as exc:
            raise EndpointError(f"{path}: {type(exc).__name__}") from exc
        if not response.is_success:
            raise EndpointError(f"{path}: HTTP {response.status_code} {response.text[:300]}", response.status_code)
        return response


def _reply(row: Mapping[str, Any]) -> BatchReply:
    response, error = row.get("response"), row.get("error")
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping):
        body = {**response["body"]}
        status = int(response.get("status_code") or 200)
        return BatchReply(status, {**body, "service_tier": TIER} if status < 300 else body)
    said: Any = error if isinstance(error, Mapping) else {"message": str(error)}
    expired = said.get("code") == "batch_expired"
    return BatchReply(504 if expired else 500, {"error": {"message": said.get("message"), "code": said.get("code")}})
