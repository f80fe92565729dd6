"""A cheap HTTP path below ChatOpenAI and ChatTogether: requests over aiohttp, replies as plain dicts.

The chat models stay LangChain's and the errors the SDK's. What is saved is the SDK's pydantic model for every chunk,
the largest cost of a streamed answer. Whatever this path does not know goes through the SDK, over the same connections.
"""

from moa_graph.models.openai_http.factory import chat_openai

__all__ = ["chat_openai"]
