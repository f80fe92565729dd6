"""An agent that may ask several models at once when a question deserves it. Needs: pip install langchain"""

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from moa_graph import create_moa

moa = create_moa("local", output="answer")


@tool
def ask_several(question: str) -> str:
    """Ask several language models at once and get one synthesized answer. For questions where one may err."""
    return str(moa.invoke({"messages": question}, context={"max_tokens": 40})["messages"][-1].text)


class Scripted(GenericFakeChatModel):
    """Stands in for a model that calls tools, such as "openai:gpt-6.1-sol"; the embedded one cannot."""

    def bind_tools(self, tools, **kwargs):
        return self


call = {"name": "ask_several", "args": {"question": "How do I make tea?"}, "id": "1"}
agent = create_agent(
    Scripted(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("Here you are.")])), [ask_several]
)

for message in agent.invoke({"messages": [HumanMessage("How do I make tea? Ask around.")]})["messages"]:
    message.pretty_print()
