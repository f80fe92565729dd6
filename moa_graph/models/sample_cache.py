"""LangChain's cache of replies, with entries of their own for the samples of one model.

A cache finds a reply by the request. Samples are the same request several times, so that each of them would get the
reply of the first. So would the models of a mixture that is itself asked several times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel

__all__ = ["asking", "samples_around", "with_own_entries"]

samples_around: ContextVar[tuple[int, ...]] = ContextVar("samples_around", default=())
"""The places of the calls that this call is a part of, from the outermost sample on."""


@contextmanager
def asking(slot: int) -> Iterator[None]:
    """Give all models that are called inside, as by a mixture behind a model, the entries of a sample as well.

    Args:
        slot: The place of the sample in its layer; 0 for a model without samples.
    """
    token = samples_around.set((*samples_around.get(), slot))
    try:
        yield
    finally:
        samples_around.reset(token)


def with_own_entries(model: Any, slot: int) -> Any:
    """Return the model that a sample asks: a copy with cache entries of its own, where replies are cached.

    Args:
        model: The model of all samples.
        slot: The place of the sample in its layer. The one in place 0 has the entries of the model itself, as has a
            model without samples.
    """
    places = (*samples_around.get(), slot)
    if not any(places) or not isinstance(model, BaseChatModel) or model.cache is False:
        return model
    cache = model.cache if isinstance(model.cache, BaseCache) else get_llm_cache()
    return model if cache is None else model.model_copy(update={"cache": _OwnEntries(cache, places)})


class _OwnEntries(BaseCache):
    """The entries of one sample in a cache."""

    def __init__(self, cache: BaseCache, places: Sequence[int]) -> None:
        self._cache, self._mark = cache, f"---sample {'.'.join(map(str, places))}"

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        return self._cache.lookup(prompt, llm_string + self._mark)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        self._cache.update(prompt, llm_string + self._mark, return_val)

    def clear(self, **kwargs: Any) -> None:
        self._cache.clear(**kwargs)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        return await self._cache.alookup(prompt, llm_string + self._mark)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        await self._cache.aupdate(prompt, llm_string + self._mark, return_val)
