"""Limits on the size of a provider's reply.

Connections that this package opens count decoded bytes while they read and raise `ReplyTooLarge` at the first byte
over a limit. Chat models whose HTTP client belongs to somebody else are checked after reading, in
`models/reply/reply.py`.
"""

from __future__ import annotations

__all__ = [
    "MAX_ARGUMENT_CHARS",
    "MAX_CHUNKS",
    "MAX_COPIED_CHARS",
    "MAX_ERROR_BYTES",
    "MAX_EVENT_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_INTERIM_REPLIES",
    "MAX_JSON_VALUES",
    "MAX_LOGPROBS",
    "MAX_REPLY_BYTES",
    "MAX_STREAM_BYTES",
    "MAX_TEXT_CHARS",
    "MAX_TOOL_CALLS",
    "ReplyTooLarge",
]

MAX_REPLY_BYTES = 8 * 2**20
"""Decoded bytes of one reply that is not streamed. The event loop stands still while they are parsed: 30 ms."""

MAX_STREAM_BYTES = 64 * 2**20
"""Decoded bytes of one streamed reply, all events and comments together."""

MAX_EVENT_BYTES = 4 * 2**20
"""Decoded bytes of one server-sent event, or of one line of a stream that is not framed as events."""

MAX_CHUNKS = 3_000
"""Chunks of a stream that cannot be joined with their neighbours, and so are kept until its end."""

MAX_COPIED_CHARS = 2**28
"""Characters that joining the chunks of a stream that cannot be joined with their neighbours copies: 100 ms."""

MAX_LOGPROBS = 50_000
"""Tokens of one reply with log probabilities."""

MAX_ERROR_BYTES = 64 * 2**10
"""Decoded bytes of an error body. Reading stops there; what was read is still used for the error message."""

MAX_HEADER_BYTES = 256 * 2**10
"""Bytes that a server sends until the head of its reply is complete, interim replies included."""

MAX_INTERIM_REPLIES = 32
"""Replies with a status of 1xx before the reply itself."""

MAX_JSON_VALUES = 150_000
"""Values in one JSON text. Many small values cost far more memory and time than their bytes suggest."""

MAX_TEXT_CHARS = 4 * 2**20
"""Characters of an answer's text, thoughts included: about a million tokens."""

MAX_TOOL_CALLS = 256
"""Tool calls in one reply."""

MAX_ARGUMENT_CHARS = 2**20
"""Characters of the arguments of one tool call."""


class ReplyTooLarge(Exception):
    """A reply exceeded a limit. The connection is closed and the request is not sent again.

    Args:
        what: The part that was too large, such as ``"reply"`` or ``"event"``.
        limit: The limit that was exceeded.
        unit: The unit of `limit`.
    """

    def __init__(self, what: str, limit: int, unit: str = "bytes") -> None:
        super().__init__(f"the {what} is larger than {limit:,} {unit}")
