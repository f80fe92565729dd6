"""The embedded model: a small model in this process, for trials and tests. It needs no key and no network.

`local_chat_model("smollm2")` and `local_chat_model("/path/to/model.gguf")` return LangChain chat models. The weights
are loaded by `preload` or by the first request. All models of one file share one runtime.
"""

from typing import TYPE_CHECKING, Any

from moa_graph.models.local.files import locate
from moa_graph.models.local.runtime import preload

if TYPE_CHECKING:
    from moa_graph.models.local.chat import ChatLocal, local_chat_model

__all__ = ["ChatLocal", "local_chat_model", "locate", "preload"]


def __getattr__(name: str) -> Any:
    # Lazy import: importing LangChain is slow, and `preload` can load the weights in the meantime.
    if name in ("ChatLocal", "local_chat_model"):
        from moa_graph.models.local import chat

        return getattr(chat, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
