"""LangChain's cache of replies, with entries of their own for the samples of one model.

A cache finds a reply by the request. Samples are the same request several times, so that each of them would get the
reply of the first.
"""

from __future__ import annotations

from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel

__all__ = ["with_own_entries"]


def with_own_entries(model: Any, slot: int) -> Any:
    """Return the model that a sample asks: a copy with cache entries of its own, where replies are cached.

    Args:
        model: The model of all samples.
        slot: The place of the sample in its layer. The one in place 0 has the entries of the model itself.
    """
    if not slot or not isinstance(model, BaseChatModel) or model.cache is False:
        return model
    cache = model.cache if isinstance(model.cache, BaseCache) else get_llm_cache()
    return model if cache is None else model.model_copy(update={"cache": _OwnEntries(cache, slot)})


class _OwnEntries(BaseCache):
    """The entries of one sample in a cache."""

    def __init__(self, cache: BaseCache, slot: int) -> None:
        self._cache, self._mark = cache, f"---sample {slot}"

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
