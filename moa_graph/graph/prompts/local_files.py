"""What a model's package would read on this machine: addresses that it fetches, image data that it takes for a path.

The conversation comes from callers. What it names is for the provider to read.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from langchain_core.messages import BaseMessage

from moa_graph.graph.prompts.media import ADDRESSES, Block, blocks_of, kind_of, package_of, standard, values_in

__all__ = ["refused_images", "with_ids"]

_USUAL = {"image": "image/jpeg", "file": "application/pdf", "audio": "audio/wav"}
_DATA = ADDRESSES | {"base64", "data"}
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM")
_LONGEST_PATH = 40_000


def with_ids(message: BaseMessage) -> BaseMessage:
    """Return the message with every address as the id of a file, which Gemini fetches."""
    blocks = blocks_of(message)
    made = [_with_id(block) if isinstance(block, dict) else block for block in blocks]
    return message if made == blocks else message.model_copy(update={"content": made})


def _with_id(block: Block) -> Block:
    kind = kind_of(block) or ""
    # LangChain decides which of several addresses it reads.
    address = next(_addresses(block), None)
    if kind not in _USUAL or address is None:
        return block
    mime = block.get("mime_type") or mimetypes.guess_type(urlsplit(address).path)[0] or _USUAL[kind]
    return {"type": "file", "file_id": address, "mime_type": mime}


def refused_images(messages: Sequence[BaseMessage], model: object) -> list[str]:
    """Return the images that a model does not take, in words.

    Ollama's client sends the content of a file whose path is given in place of an image's data. Google's package for
    Vertex AI fetches addresses on this machine.
    """
    package = package_of(model)
    if package not in ("langchain_ollama", "langchain_google_vertexai"):
        return []
    blocks = [standard(block) for message in messages for block in blocks_of(message)]
    images = [block for block in blocks if isinstance(block, dict) and kind_of(block) == "image"]
    if any(address for block in images for address in _addresses(block)):
        return ["images by their address, only their data"]
    held = [value for block in images for value in values_in(block, _DATA) if value is not None]
    if package == "langchain_ollama" and not all(map(_is_image, held)):
        return ["images of an unknown format"]
    return []


def _addresses(block: Block) -> Iterator[str]:
    for value in values_in(block, ADDRESSES):
        if value is not None and not str(value).startswith("data:"):
            yield str(value)


def _is_image(data: object) -> bool:
    """Return whether base64 data, which may be in a `data:` URL, begins as an image does and cannot be a path."""
    if not isinstance(data, str):
        return False
    data = data.partition(",")[2] if data.startswith("data:") else data
    if not re.fullmatch(r"[A-Za-z0-9+/=\s]{16,}", data[:_LONGEST_PATH]):
        return False
    return base64.b64decode("".join(data[:64].split())[:16] + "==").startswith(_SIGNATURES)
