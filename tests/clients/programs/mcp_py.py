"""MCP clients, over HTTP and over standard input and output."""

import contextlib
import json
import os

from _run import ANSWER, main

STDIO = json.loads(os.environ["MOA_MCP"])
ASK = ("moa_answer", {"question": "What is it?"})


def _http():
    return f"{os.environ['BASE']}/mcp"


def _checked(result, structured):
    assert ANSWER in result.content[0].text
    assert structured["answer"] == ANSWER and len(structured["drafts"]) == 2, structured
    assert structured["record"]["calls"] == 3


async def fastmcp():
    from fastmcp import Client

    async with Client(_http()) as client:
        assert [tool.name for tool in await client.list_tools()] == ["moa_answer"]
        result = await client.call_tool(*ASK)
        _checked(result, result.structured_content)


async def _session(streams):
    from mcp import ClientSession

    async with streams as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        result = await session.call_tool(*ASK)
        _checked(result, result.structuredContent)


async def session_http():
    from mcp.client.streamable_http import streamablehttp_client

    await _session(streamablehttp_client(_http()))


async def session_stdio():
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    command, *arguments = STDIO["command"]
    await _session(stdio_client(StdioServerParameters(command=command, args=arguments, env=STDIO["env"])))


async def langchain_adapters_http():
    from langchain_mcp_adapters.client import MultiServerMCPClient

    client = MultiServerMCPClient({"moa": {"url": _http(), "transport": "streamable_http"}})
    (tool,) = await client.get_tools()
    assert ANSWER in str(await tool.ainvoke(ASK[1]))


async def langchain_adapters_stdio():
    from langchain_mcp_adapters.client import MultiServerMCPClient

    command, *arguments = STDIO["command"]
    server = {"command": command, "args": arguments, "env": STDIO["env"], "transport": "stdio"}
    (tool,) = await MultiServerMCPClient({"moa": server}).get_tools()
    assert ANSWER in str(await tool.ainvoke(ASK[1]))


@contextlib.asynccontextmanager
async def _client(target):
    from mcp import Client

    async with Client(target) as client:
        yield client


async def client_http(address=None):
    async with _client(address or _http()) as client:
        result = await client.call_tool(*ASK)
    _checked(result, result.structured_content)


async def client_stdio():
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    command, *arguments = STDIO["command"]
    server = StdioServerParameters(command=command, args=arguments, env=STDIO["env"])
    await client_http(stdio_client(server))


async def client_langgraph_dev():
    """The Agent Server with our langgraph.json has the same tool."""
    async with _client(f"{os.environ['LANGGRAPH_URL']}/mcp") as client:
        result = await client.call_tool(*ASK)
    assert not result.is_error, result.content
    assert result.structured_content["answer"] == ANSWER and len(result.structured_content["drafts"]) == 3


main(globals())
