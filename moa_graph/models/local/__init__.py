"""The embedded model: a small model in this process, for trying things and for tests; needs no key and no network.

`local_chat_model("smollm2")` and `local_chat_model("/path/to/model.gguf")` give LangChain chat models. Nothing is
loaded before the first question, or `preload`, and every model of one file shares one runtime.
"""

from typing import TYPE_CHECKING, Any

from moa_graph.models.local.files import INSTALL, locate
from moa_graph.models.local.runtime import preload

if TYPE_CHECKING:
    from moa_graph.models.local.chat import ChatLocal, local_chat_model

__all__ = ["INSTALL", "ChatLocal", "local_chat_model", "locate", "preload"]


def __getattr__(name: str) -> Any:
    # LangChain is slow to import, and the model can load meanwhile.
    if name in ("ChatLocal", "local_chat_model"):
        from moa_graph.models.local import chat

        return getattr(chat, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
