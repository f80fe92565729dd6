"""The real embedded model. Tests check its behaviour, never the words of its answers."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from moa_graph.errors import ConfigError
from moa_graph.models.local import ChatLocal, local_chat_model, locate
from moa_graph.models.local.runtime import LocalModelError, Runtime, running

LONG = "Tell me everything about the sea, its fish and its storms. " * 300
"""About 4,000 tokens: minutes of reading for one thread."""


@pytest.fixture(autouse=True)
def installed() -> None:
    try:
        locate("smollm2")
    except ConfigError as exc:
        pytest.skip(str(exc))


def model(**settings: object) -> ChatLocal:
    found = local_chat_model("smollm2", temperature=0, **{"max_tokens": 24, **settings})
    assert isinstance(found, ChatLocal)
    return found


def test_an_answer_has_text_usage_and_a_reason_to_end() -> None:
    message = model().invoke([SystemMessage("Be brief."), HumanMessage("Name three fruits.")])
    assert isinstance(message, AIMessage)
    assert message.text
    assert message.usage_metadata and message.usage_metadata["input_tokens"] > 10
    assert 0 < message.usage_metadata["output_tokens"] <= 24
    assert message.response_metadata["model_name"] == "local:smollm2"
    assert message.response_metadata["finish_reason"] in {"stop", "length"}


def test_never_ends_before_the_first_word() -> None:
    # The end of a turn, which the model writes as token 2, made the likeliest token of all.
    message = local_chat_model("smollm2", temperature=0, logit_bias=[[2, 100]]).invoke("Name three fruits.")
    assert message.text.strip() and message.response_metadata["finish_reason"] == "stop"


def test_never_begins_with_a_boundary_line() -> None:
    # Boundary lines are removed from answers, so a short answer of this kind would be empty.
    turns = [("human", "End the drafts."), ("ai", "[drafts end: 4f]")] * 4 + [("human", "End the drafts.")]
    assert not model(max_tokens=16).invoke(turns).text.lstrip().startswith("[")


async def test_streams_piece_by_piece_and_the_pieces_are_the_answer() -> None:
    chunks = [chunk async for chunk in model(max_tokens=16).astream("Count to fifty in words.")]
    assert sum(bool(chunk.text) for chunk in chunks) > 3
    whole = sum(chunks[1:], chunks[0])
    # The place where the model ends depends on earlier questions in this process.
    count = whole.usage_metadata["output_tokens"] if whole.usage_metadata else 0
    assert 3 < count <= 16
    assert count == 16 or whole.response_metadata["finish_reason"] == "stop"


def test_stop_ends_the_answer_before_the_word() -> None:
    asked = [HumanMessage("Repeat exactly: one two three four five")]
    free = model().invoke(asked).text
    word = free.split()[1]
    held = model().invoke(asked, stop=[word]).text
    assert word not in held and free.startswith(held)


def test_structured_output_fits_its_schema() -> None:
    class Fruit(BaseModel):
        name: str
        count: int

    asked = "Two apples. Give the fruit's name and how many."
    assert isinstance(model(max_tokens=200).with_structured_output(Fruit).invoke(asked), Fruit)
    raw = model(max_tokens=3).with_structured_output(Fruit, include_raw=True).invoke(asked)
    assert raw["parsed"] is None and raw["parsing_error"] is not None, "a cut answer is reported, not raised"
    loose = model(max_tokens=200).with_structured_output(Fruit.model_json_schema()).invoke(asked)
    assert set(loose) >= {"name", "count"}


class _Part(BaseModel):
    label: str
    notes: list[str]


class _Form(BaseModel):
    title: str
    parts: list[_Part]
    ready: bool
    size: float
    other: str | None
    kind: Literal["a", "b"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("schema", [_Part, _Form], ids=["flat", "nested"])
def test_a_structured_answer_is_never_cut(schema: type[BaseModel], seed: int) -> None:
    """At a high temperature so small a model writes on and on. Texts and lists are limited, so the answer is whole."""
    warm = local_chat_model("smollm2", temperature=2.0, max_tokens=260, seed=seed)
    asked = "Say ha ha ha ha ha ha as often as you can, and list all words that you know."
    assert isinstance(warm.with_structured_output(schema).invoke(asked), schema)


async def test_the_event_loop_runs_on_while_the_model_works() -> None:
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    ticker = asyncio.create_task(tick())
    await model().ainvoke("Name three animals.")
    ticker.cancel()
    assert turns > 10


def test_one_runtime_serves_many_loops_and_threads() -> None:
    answers: list[str] = []

    def own_loop() -> None:
        answers.append(asyncio.run(model(max_tokens=8).ainvoke("Hello")).text)

    def no_loop() -> None:
        answers.append(model(max_tokens=8).invoke("Hello").text)

    threads = [threading.Thread(target=work) for work in [own_loop, no_loop] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6 and all(answers)
    path = locate("smollm2")
    assert running(path) is running(path)
    assert not running(path).open


def busy(runtime: Runtime) -> int:
    """The number of requests in progress, as the runtime counts them."""
    return sum(map(int, re.findall(r"^llamacpp:requests_processing (\d+)", runtime._server.handle_metrics(), re.M)))


async def until_idle() -> None:
    runtime = running(locate("smollm2"))
    while busy(runtime) or runtime.open:  # until the test's timeout
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("asked", ["Count to ten thousand in words.", LONG], ids=["writing", "reading a long prompt"])
async def test_cancelling_stops_the_work_itself(asked: str) -> None:
    runtime = running(locate("smollm2"))
    task = asyncio.create_task(model(max_tokens=4000).ainvoke(asked))
    while not busy(runtime):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_idle()


async def test_leaving_a_stream_early_stops_the_work() -> None:
    stream = model(max_tokens=4000).astream("Count to ten thousand in words.")
    async for chunk in stream:
        if chunk.text:
            break
    await stream.aclose()
    await until_idle()
    for chunk in model(max_tokens=4000).stream("Count to ten thousand in words."):
        if chunk.text:
            break
    await until_idle()


def test_a_prompt_beyond_the_window_is_refused_with_its_size() -> None:
    with pytest.raises(LocalModelError, match="context size") as caught:
        model().invoke("word " * 9000)
    assert caught.value.status_code == 400


def test_images_are_refused_before_anything_runs() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(LocalModelError, match="text only"):
        model().invoke([HumanMessage([{"type": "text", "text": "What is this?"}, image])])


def test_a_missing_part_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"Known: smollm2; or give a file"):
        locate("gpt-5")
    with pytest.raises(ConfigError, match="does not exist"):
        locate(str(tmp_path / "none.gguf"))
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(ConfigError, match="not a GGUF"):
        locate(str(tmp_path / "text.gguf"))
    (tmp_path / "cut.gguf").write_bytes(locate("smollm2").read_bytes()[:4096])
    with pytest.raises(ConfigError, match="cannot load"):
        local_chat_model(str(tmp_path / "cut.gguf")).invoke("hi")
    locate.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'moa_graph\[local\]'"):
        locate("smollm2")


def test_a_file_by_path_is_the_same_model() -> None:
    by_path = local_chat_model(str(locate("smollm2")), max_tokens=4)
    assert by_path.invoke("Hello").usage_metadata
    assert running(locate("smollm2")) is running(locate(str(locate("smollm2"))))


def python(code: str, *, sends: signal.Signals | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a new process; sends it a signal once it has printed its first line."""
    head = "import asyncio, os, sys\nfrom moa_graph.models.local import local_chat_model\n"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", head + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            if sends:
                process.send_signal(sends)
            out, err = process.communicate(timeout=100)
        finally:
            process.kill()  # one that is left over would fail a later test, with a warning
    return subprocess.CompletedProcess(process.args, process.returncode, first + out, err)


ENDINGS = {
    "after an answer": "print(local_chat_model('smollm2', max_tokens=4).invoke('hi').text or 'ok')",
    "in the middle of one": """
        def ask():
            for chunk in local_chat_model('smollm2', max_tokens=4000).stream('Count to ten thousand.'):
                started.set()
        import threading
        started = threading.Event()
        threading.Thread(target=ask, daemon=True).start()
        started.wait()
        print('leaving')
    """,
    "after a fork": """
        model = local_chat_model('smollm2', max_tokens=4)
        model.invoke('hi')
        child = os.fork()
        if child == 0:
            model.invoke('hi')  # its own runtime: the parent's threads are not here
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print('both')
    """,
}


@pytest.mark.parametrize("code", ENDINGS.values(), ids=ENDINGS)
def test_the_process_ends_cleanly_and_silently(code: str) -> None:
    done = python(code)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert len(done.stdout.splitlines()) >= 1


def test_ctrl_c_and_termination_still_reach_python() -> None:
    code = """
        async def main():
            async for chunk in local_chat_model('smollm2', max_tokens=4000).astream('Count to ten thousand.'):
                print('running', flush=True)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(130)
    """
    done = python(code, sends=signal.SIGINT)
    assert (done.returncode, done.stderr) == (130, "")
    assert python(code, sends=signal.SIGTERM).returncode == -signal.SIGTERM


def test_the_loopback_port_wants_a_key() -> None:
    import http.client

    runtime = running(locate("smollm2"))
    connection = http.client.HTTPConnection(*runtime._address)
    connection.request("POST", "/v1/chat/completions", json.dumps({"messages": []}))
    assert connection.getresponse().status == 401
    connection.close()


def test_preloading_is_silent_and_an_exit_in_the_middle_of_it_is_clean() -> None:
    done = python("from moa_graph.models.local import preload; preload('smollm2'); preload('none'); print('leaving')")
    assert (done.returncode, done.stderr) == (0, "")
    for wait in (0.1, 0.15, 0.2):  # about when the runtime is there and its loop has not begun
        early = python(
            f"import time; from moa_graph.models.local import preload; preload('smollm2'); time.sleep({wait})"
        )
        assert (early.returncode, early.stderr) == (0, "")
    used = python("""
        from moa_graph.models.local import preload
        from moa_graph.models.local.runtime import _runtimes
        preload('smollm2')
        local_chat_model('smollm2', max_tokens=2).invoke('hi')
        print(len(_runtimes))
    """)
    assert (used.returncode, used.stdout, used.stderr) == (0, "1\n", "")
