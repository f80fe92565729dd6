"""The embedded model: a small model in this process, for trying things and for tests; needs no key and no network.

`local_chat_model("smollm2")` and `local_chat_model("/path/to/model.gguf")` give LangChain chat models. Nothing is
loaded before the first question, and every model of one file shares one runtime.
"""

from moa_graph.local.chat import ChatLocal, local_chat_model
from moa_graph.local.files import INSTALL, locate

__all__ = ["INSTALL", "ChatLocal", "local_chat_model", "locate"]
