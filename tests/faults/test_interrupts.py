"""Ctrl-C in a sync call ends the whole run: every request is closed at the provider, and none is sent afterwards."""

import signal
import subprocess
import sys
import time

import pytest

from tests.provider import Provider

HEAD = """
import sys
from moa_graph import ChatMoA, create_moa

url, count = sys.argv[1], int(sys.argv[2])
proposers = [{"model": f"openai:hang-{n}", "base_url": url} for n in range(count)]
fields = dict(proposers=proposers, aggregator=proposers[0], deadline=60, max_attempts=3)
question = {"messages": "hi"}
"""

CALLS = {
    "invoke": "create_moa(**fields).invoke(question)",
    "stream": "list(create_moa(**fields).stream(question, stream_mode=['custom', 'values']))",
    "nodes that wait for a thread": "create_moa(**fields).invoke(question, {'max_concurrency': 2})",
    "chat model": "ChatMoA(**fields).invoke('hi')",
    "chat model in a thread of an agent": """
from langchain.agents import create_agent
list(create_agent(ChatMoA(**fields), []).stream(question, stream_mode=['messages', 'custom']))""",
    "subgraph in parallel branches": """
from langgraph.graph import START, MessagesState, StateGraph
parent = StateGraph(MessagesState)
for name in ('a', 'b'):
    parent.add_node(name, create_moa(**fields, output='answer'))
    parent.add_edge(START, name)
parent.compile().invoke(question)""",
    "threads of the caller": """
from concurrent.futures import ThreadPoolExecutor
graph = create_moa(**fields)
with ThreadPoolExecutor() as threads:
    list(threads.map(graph.invoke, [question]))""",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_ctrl_c_ends_a_sync_run_within_a_second_and_closes_its_requests(provider: Provider, call: str) -> None:
    # The least of up to three attempts: a busy machine only makes them longer. Without the watch they end at the
    # deadline of a minute.
    seconds: list[float] = []
    while len(seconds) < 3 and min(seconds, default=2.0) >= 2.0:
        provider.reset()
        seconds.append(seconds_to_end(provider, call))
    assert min(seconds) < 2.0, "a second, and as much again for a busy machine"


def seconds_to_end(provider: Provider, call: str) -> float:
    """Interrupt a sync run, check its end, and return the seconds until its last request was closed."""
    requests = 2 if "max_concurrency" in call else 6 if "parent" in call else 3
    command = [sys.executable, "-c", HEAD + call, provider.url, "3"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        stats = provider.wait(lambda stats: stats["in_flight"] == requests, 60)
        begun = time.monotonic()
        child.send_signal(signal.SIGINT)
        after = provider.wait(lambda stats: stats["in_flight"] == 0, 30)
        seconds = time.monotonic() - begun
        _, words = child.communicate(timeout=60)
    assert stats["in_flight"] == requests, words
    assert child.returncode == -signal.SIGINT and words.rstrip().endswith("KeyboardInterrupt")
    after = provider.stats()
    counts = after["disconnected"], after["requests"], after["in_flight"]
    assert counts == (requests, requests, 0), [each.json["model"] for each in provider.requests()]
    return seconds


def test_an_interrupt_that_the_caller_handles_leaves_other_runs_alone(provider: Provider) -> None:
    """The next run, begun while the interrupt is being handled, and a run in another thread both answer."""
    code = (
        HEAD
        + """
import threading, time
good = {"model": "openai:ttft=1500-good", "base_url": url}
other, answers = create_moa(proposers=[{**good, "samples": 2}], aggregator=good), []
graph = create_moa(**fields)
try:
    graph.invoke(question)
except KeyboardInterrupt:
    answers.append(other.invoke(question)["record"]["calls"])
thread = threading.Thread(target=lambda: answers.append(other.invoke(question)["record"]["calls"]))
thread.start()
try:
    time.sleep(0.3)
    raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
thread.join()
print(answers)
"""
    )
    command = [sys.executable, "-c", code, provider.url, "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        provider.wait(lambda stats: stats["in_flight"] == 3, 60)
        child.send_signal(signal.SIGINT)
        out, words = child.communicate(timeout=60)
    assert (out, child.returncode) == ("[3, 3]\n", 0), words
