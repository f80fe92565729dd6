"""Images, files and audio in messages: every provider's notation as one standard block each."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable

from moa_graph.graph.prompts.media_types import data_url, is_textual, media_type, one_line
from moa_graph.models.reply.fields import encodable

__all__ = [
    "ADDRESSES",
    "KINDS",
    "Abilities",
    "Block",
    "abilities",
    "blocks_of",
    "completes_chats",
    "has_file_address",
    "kind_of",
    "kinds_in",
    "package_of",
    "placeholder",
    "standard",
    "takes_addresses",
    "values_in",
]

Block = dict[str, Any]

_KIND_OF = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "text-plain": "text",
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "media": "file",
    "audio": "audio",
    "input_audio": "audio",
}
KINDS = ("image", "file", "audio")
"""Kinds of content that a model may not take."""

ADDRESSES = frozenset({"image_url", "url", "uri", "file_url", "file_uri"})
"""Names under which blocks hold addresses, in any provider's notation."""

_TAKES_NO = {"langchain_anthropic": ("audio",), "langchain_ollama": ("file", "audio")}
"""What no model takes through a package."""
_FETCHES = "langchain_google_genai"
"""The package that fetches addresses on this machine, follows their redirects and waits without end."""
_IN_TOOL_RESULTS = ("langchain_anthropic", "langchain_google_genai", "langchain_google_vertexai", "langchain_aws")
_SHOWN_JSON = 10_000


class Abilities(NamedTuple):
    """The kinds of content that a model takes.

    Attributes:
        image: Images in user messages.
        file: PDFs and other documents in user messages.
        audio: Audio in user messages.
        tool_results: The same in tool results.
        by_id: Addresses are sent as ids of files, which the provider fetches. The package would fetch addresses itself.
    """

    image: bool = True
    file: bool = True
    audio: bool = True
    tool_results: bool = False
    by_id: bool = False


def abilities(model: object) -> Abilities:
    """Return what `model` takes: every kind that its LangChain profile does not exclude.

    A model whose profile excludes images takes no files and audio either, unless its profile says so.
    """
    model = _inner(model)
    given = getattr(model, "profile", None)
    profile: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    images = profile.get("image_inputs") is not False
    package = package_of(model)
    never = _TAKES_NO.get(package, ())

    def takes(name: str, kind: str) -> bool:
        return kind not in never and bool(profile.get(name, images))

    native = package in _IN_TOOL_RESULTS or bool(getattr(model, "use_responses_api", None))
    in_tool_results = bool(profile.get("image_tool_message", native))
    pdf, audio = takes("pdf_inputs", "file"), takes("audio_inputs", "audio")
    return Abilities(images, pdf, audio, in_tool_results, package == _FETCHES)


def package_of(model: object) -> str:
    """Return the name of the package that has the model's class."""
    return type(_inner(model)).__module__.partition(".")[0]


def takes_addresses(model: object) -> bool:
    """Return whether a model takes files by their address. OpenAI's Chat Completions take their data only."""
    # The package for Vertex AI fetches them on this machine.
    return package_of(model) != "langchain_google_vertexai" and not completes_chats(model)


def completes_chats(model: object) -> bool:
    """Return whether a model is called through OpenAI's Chat Completions.

    LangChain calls some models of OpenAI through the Responses API, and others only with the tools bound to them.
    """
    inner: Any = _inner(model)
    tools = getattr(model, "kwargs", {}).get("tools")
    return hasattr(inner, "root_async_client") and "messages" in inner._get_request_payload(
        [], **({"tools": tools} if tools else {})
    )


def _inner(model: object) -> object:
    # The instance's own fields: pydantic looks for an attribute that does not exist in many places.
    while isinstance(inner := vars(model).get("bound") or vars(model).get("inner"), Runnable):
        model = inner
    return model


def blocks_of(message: BaseMessage) -> list[str | Block]:
    """Return the content blocks of a message; an empty list if its content is a text."""
    return message.content if isinstance(message.content, list) else []


def kind_of(block: str | Mapping[str, Any]) -> str | None:
    """Return "text", "image", "file" or "audio"; None for a block of another type."""
    if isinstance(block, str):
        return "text"
    kind = _KIND_OF.get(str(block.get("type")))
    media = str(block.get("mime_type") or "").partition("/")[0]
    named = block.get("type") == "media" or "file_id" in block
    return media if named and media in ("image", "audio") else kind


def kinds_in(messages: Sequence[BaseMessage]) -> set[str]:
    """Return the members of `KINDS` that the messages contain."""
    found = {kind_of(standard(block)) for message in messages for block in blocks_of(message)}
    return {kind for kind in KINDS if kind in found}


def has_file_address(messages: Sequence[BaseMessage]) -> bool:
    """Return whether a message has a file that is given by its address."""
    blocks = (standard(block) for message in messages for block in blocks_of(message))
    return any(kind_of(block) == "file" and block.get("url") for block in blocks)


def values_in(block: Mapping[str, Any], names: Collection[str]) -> Iterator[Any]:
    """Yield every value of one of the names in a block, at any depth."""
    for name, value in block.items():
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, Mapping):
                yield from values_in(each, names)
            elif name in names:
                yield each


def placeholder(block: str | Mapping[str, Any]) -> str:
    """Return the placeholder of a block that a model cannot take: its text, its JSON, or its kind in brackets."""
    if isinstance(block, str):
        return block
    kind = kind_of(block)
    if kind == "text" and isinstance(block.get("text"), str):
        return str(block["text"])
    if kind in KINDS:
        name = block.get("filename")
        return f"[{kind} {name}]" if isinstance(name, str) else f"[{kind}]"
    shown = json.dumps(block, ensure_ascii=False, default=str)
    return shown if len(shown) <= _SHOWN_JSON else f"[{block.get('type') or 'data'}]"


def standard(block: str | Block) -> Block:
    """Return a block in the form that every LangChain class reads. A block of an unknown type stays as it is."""
    if isinstance(block, str):
        return {"type": "text", "text": encodable(block)}
    kind = kind_of(block)
    if kind == "text":
        return _text(block)
    if kind not in KINDS:
        return block
    made = _image(block) if kind == "image" else _data(block, kind)
    return {**made, **{name: block[name] for name in ("cache_control",) if name in block}}


def _text(block: Block) -> Block:
    if block.get("type") == "text-plain":
        return _data({"mime_type": "text/plain", **block}, "file")
    text = block.get("text")
    if block.get("type") == "text":
        return {**block, "text": encodable(text)} if isinstance(text, str) else block
    return {"type": "text", "text": encodable(str(text or ""))}


def _image(block: Block) -> Block:
    source, given = block.get("source"), block.get("image_url")
    if isinstance(source, Mapping):
        if source.get("type") == "base64":
            return _image_url(f"data:{source.get('media_type') or ''};base64,{source.get('data')}")
        return _image_url(source["url"]) if "url" in source else {"type": "image", "file_id": source.get("file_id")}
    if isinstance(given, str):
        return _image_url(given, detail=block.get("detail"))
    if isinstance(given, Mapping) and isinstance(url := given.get("url"), str):
        return block if (made := data_url(url)) == url else {**block, "image_url": {**given, "url": made}}
    data = block.get("data")
    if block.get("type") == "media":  # Google's notation
        return _image_url(f"data:{block.get('mime_type')};base64,{data}" if data else block.get("file_uri"))
    name = "base64" if "base64" in block else "data"
    if isinstance(data := block.get(name), str):
        head, _, behind = data.partition(",") if data.startswith("data:") else ("", "", data)
        mime = head[5:].partition(";")[0] or block.get("mime_type")
        return {**block, name: one_line(behind), "mime_type": media_type(mime, behind)}
    return block


def _image_url(url: Any, *, detail: Any = None) -> Block:
    url = data_url(url) if isinstance(url, str) else url
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}


def _data(block: Block, kind: str) -> Block:
    """Return a file or audio as a standard block; a text file as its text, and one of an image as an image."""
    found = _found(block)
    mime = str(found.get("mime_type") or ("audio/wav" if kind == "audio" else "application/pdf"))
    name = str(found.get("filename") or ("document.txt" if is_textual(mime) else "document.pdf"))
    if isinstance(found.get("text"), str):
        return {"type": "text", "text": encodable(f"[file {name}]\n{found['text']}")}
    if "file_id" in found:
        made = {"type": kind, "file_id": found["file_id"]}
        return {**made, "filename": name} if kind == "file" else made
    if "base64" in found and is_textual(mime) and (text := _decoded(found["base64"])) is not None:
        return {"type": "text", "text": encodable(f"[file {name}]\n{text}")}
    media = mime.partition("/")[0]
    kind = media if media in ("image", "audio") else kind
    made = {"url": found.get("url"), "mime_type": mime}
    if "base64" in found:
        made = {"base64": found["base64"], "mime_type": media_type(mime)}
    return {"type": kind, **made, **({"filename": name} if kind == "file" else {})}


def _found(block: Block) -> Block:
    """Return what a block of any provider's notation says about its data, by LangChain's names."""
    inner: Block = next(
        (block[name] for name in ("file", "source", "input_audio") if isinstance(block.get(name), dict)), {}
    )
    beside = [block[name] for name in ("metadata", "extras") if isinstance(block.get(name), dict)]
    given: Block = {name: value for each in (*beside, block, inner) for name, value in each.items()}
    found: Block = {"filename": given.get("filename") or given.get("title") or given.get("name")}
    found["mime_type"] = given.get("mime_type") or given.get("media_type")
    if isinstance(given.get("format"), str):
        found["mime_type"] = f"audio/{given['format']}"
    data = given.get("base64") or given.get("data") or given.get("file_data")
    address = given.get("url") or given.get("file_url") or given.get("file_uri")
    if isinstance(data, str) and data.startswith("data:"):
        head, _, data = data.partition(",")
        found["mime_type"] = head.removeprefix("data:").partition(";")[0] or found["mime_type"]
    if inner.get("type") == "text" or isinstance(given.get("text"), str):
        found["text"] = given.get("text") or data
    elif inner.get("type") == "content":
        parts = inner.get("content")
        listed = parts if isinstance(parts, list) else [str(parts or "")]
        found["text"] = "\n".join(placeholder(part) for part in listed if isinstance(part, str | Mapping))
    elif data:
        found["base64"] = one_line(data) if isinstance(data, str) else data
    elif isinstance(address, str) and address.startswith("data:"):
        return _found({**block, "url": None, "file_url": None, "file_uri": None, "data": address})
    elif address:
        found["url"] = address
    elif given.get("file_id") or given.get("source_type") == "id":
        found["file_id"] = given.get("file_id") or given.get("id")
    return found


def _decoded(data: Any) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode("utf-8")
    except (binascii.Error, ValueError, TypeError):
        return None
