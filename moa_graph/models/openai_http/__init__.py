"""The cheap path below ChatOpenAI and ChatTogether: their requests over aiohttp, their answers as plain dicts.

The chat models stay LangChain's and raise the SDK's errors; what is left out is the SDK's building of a pydantic model
for every chunk, which is most of what a streamed answer costs. What this path does not know goes to the SDK.
"""

from moa_graph.models.openai_http.factory import chat_openai

__all__ = ["chat_openai"]
