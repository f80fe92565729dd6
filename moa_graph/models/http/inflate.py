"""Decode compressed replies piece by piece, so that their size can be limited."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import httpx2

__all__ = ["PIECE", "Inflate"]

PIECE = 2**14
"""Bytes that are decoded, and handed on, at once: a piece of short lines takes a few milliseconds to read."""

_NAMED = frozenset({"gzip", "x-gzip", "deflate"})
_OTHERS = frozenset(
    {"aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"}
)  # fmt: skip
"""Codings that this module does not decode. Other words in the header, such as a character set, mean nothing."""


class Inflate:
    """Decodes a body that came compressed although it was asked for as it is. Gzip may have several members.

    The first byte decides where the header says otherwise: some proxies decode a body and keep the header, or lose it.
    """

    def __init__(self, encoding: str) -> None:
        """Read the header `content-encoding`.

        Raises:
            DecodingError: It names a coding that is not decoded here, or several.
        """
        words = {word.strip() for word in encoding.split(",")}
        if words & _OTHERS or encoding.count("gzip") + encoding.count("deflate") > 1:
            raise httpx2.DecodingError(f"the reply has the encoding {encoding[:40]!r}, which was not asked for")
        self._named = words & _NAMED
        self._zlib: Any = None
        self._plain = self._over = self._later = False

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """Decode a part of the body, in pieces of at most `PIECE` bytes."""
        if self._zlib is None and not self._plain and data:
            self._begin(data)
        if self._plain:
            yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))
            return
        while data and not self._over:
            try:
                piece = self._zlib.decompress(data, PIECE)
            except zlib.error:
                if not self._later:
                    raise
                self._over = True  # what looked like a further member was none
                return
            data = self._zlib.unconsumed_tail
            if self._zlib.eof:
                data, self._later = self._zlib.unused_data, True
                self._zlib = zlib.decompressobj(wbits=31)
                self._over = bool(data) and not data.startswith(b"\x1f")  # no further member: it is ignored
            yield piece

    @property
    def compressed(self) -> bool:
        """Whether the body is compressed, as far as is known."""
        return self._zlib is not None

    def _begin(self, data: bytes) -> None:
        if data.startswith(b"\x1f"):
            wbits = 31  # gzip, which no text begins as
        elif self._named and data[0] & 15 == 8 and (len(data) < 2 or int.from_bytes(data[:2]) % 31 == 0):
            wbits = 15  # zlib
        else:
            wbits = -15 if "deflate" in self._named else 0
        self._plain = not wbits
        self._zlib = zlib.decompressobj(wbits=wbits) if wbits else None
