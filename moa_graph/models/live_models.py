"""The models that a provider offers now, from its own list."""

from __future__ import annotations

import difflib

from moa_graph.errors import ConfigError
from moa_graph.mixture.proposer import Proposer, is_embedded
from moa_graph.models.faults.faults import classify
from moa_graph.models.http.json_bodies import loads
from moa_graph.models.limits import ReplyTooLarge
from moa_graph.models.providers import find
from moa_graph.models.secrets.keys import secret_of

__all__ = ["closest", "live_models"]

_MOST_BYTES = 16_000_000
"""The largest list that is read; OpenRouter's is about one megabyte."""
_CLOSEST = 3


async def live_models(spec: Proposer, *, seconds: float) -> list[str]:
    """Return the ids of the models that the host of `spec` offers now, sorted.

    The key goes to the same host as in a call of the model.

    Raises:
        LookupError: The list cannot be read; the message has the reason.
    """
    import httpx2

    from moa_graph.models.http.proxies import proxy_for
    from moa_graph.models.http.transport import Transport

    address, headers = _list_of(spec)
    try:
        proxy = proxy_for(address)
        async with (
            httpx2.AsyncClient(transport=Transport(address, proxy), timeout=seconds) as client,
            client.stream("GET", address, headers=headers) as response,
        ):
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise LookupError(f"its list of models has more than {_MOST_BYTES:,} bytes")
            if response.status_code != 200:
                raise LookupError(f"its list of models is answered with {response.status_code}")
    except LookupError:
        raise
    except ConfigError as exc:
        raise LookupError(f"its list of models cannot be read: {exc}") from None
    except Exception as exc:
        # Whatever the client raises is a reason to show, in redacted words.
        raise LookupError(f"its list of models cannot be read: {classify(exc).reason}") from None
    return _ids(bytes(body))


def closest(model: str, live: list[str]) -> list[str]:
    """Return up to three ids of `live` whose spelling is closest to a model's, best first."""
    short = {each: each.rpartition("/")[2].lower() for each in live}
    wanted = model.rpartition("/")[2].lower()
    near = difflib.get_close_matches(wanted, list(dict.fromkeys(short.values())), n=_CLOSEST, cutoff=0.4)
    return [each for name in near for each in live if short[each] == name][:_CLOSEST]


def _list_of(spec: Proposer) -> tuple[str, dict[str, str]]:
    """Return the address of the host's list of models, and the headers that it wants."""
    name = str(spec.model).partition(":")[0]
    provider = find(name)
    if not isinstance(spec.model, str) or is_embedded(spec) or not (provider or spec.base_url):
        raise LookupError("this provider has no known list of models")
    base = spec.base_url or (provider.address() if provider else "")
    base = (provider.root(base) if provider else base).rstrip("/")
    key = secret_of(spec)
    own = provider is not None and provider.protocol == "own"
    path = provider.models if provider and own else "/models"
    header = provider.key_header if provider and own else "authorization"
    value = f"Bearer {key}" if header == "authorization" else str(key)
    version = {"anthropic-version": "2023-06-01"} if header == "x-api-key" else {}
    return base + path, {**version, **({header: value} if key else {})}


def _ids(body: bytes) -> list[str]:
    """Return the ids in a list of models, in any provider's shape."""
    try:
        data = loads(body)
    except (ValueError, ReplyTooLarge):
        raise LookupError("its list of models is not JSON, or too large") from None
    if isinstance(data, dict):
        data = data.get("data") or data.get("models")
    entries = data if isinstance(data, list) else []
    ids = {str(each.get("id") or each.get("name") or "") for each in entries if isinstance(each, dict)}
    return sorted(each.removeprefix("models/") for each in ids if each)
