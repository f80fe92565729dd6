import os

from _run import main

MCP = f"{os.environ['BASE']}/mcp"


async def fastmcp():
    from fastmcp import Client

    async with Client(MCP) as client:
        tools = [tool.name for tool in await client.list_tools()]
        assert tools == ["moa_answer"], tools
        result = await client.call_tool("moa_answer", {"question": "What is it?"})
        assert "the whole answer" in result.content[0].text


async def mcp_client_session():
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async with streamablehttp_client(MCP) as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        result = await session.call_tool("moa_answer", {"question": "What is it?"})
        assert "the whole answer" in result.content[0].text


async def langchain_adapters():
    from langchain_mcp_adapters.client import MultiServerMCPClient

    client = MultiServerMCPClient({"moa": {"url": MCP, "transport": "streamable_http"}})
    (tool,) = await client.get_tools()
    assert "the whole answer" in str(await tool.ainvoke({"question": "What is it?"}))


main(globals())
