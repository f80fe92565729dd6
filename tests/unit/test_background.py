"""The background loop: its callers, and its watch over interrupts in their threads."""

import asyncio
import subprocess
import sys

import pytest

from moa_graph import MoAError
from moa_graph.graph.background import background_loop, run_sync

COLLECTING = """
import gc, sys, threading, time
from moa_graph.graph.background import _interrupt

ended = threading.Event()

def others_run(phase, info):
    if threading.current_thread() is watching:
        time.sleep(0.0001)  # lets the other thread start one

def watch():
    kept = []
    for n in range(1_000):
        kept += [(n, place, None) for place in range(5)]  # so that CPython has no unused tuples, and makes new ones
        assert _interrupt() is None
    ended.set()

watching = threading.Thread(target=watch)
gc.callbacks.append(others_run)
gc.set_threshold(1)
watching.start()
while not ended.is_set():
    started = threading.Thread(target=int)
    started.start()
    started.join()
assert gc.isenabled()
"""


def test_an_interrupt_is_read_while_garbage_is_collected_and_threads_start() -> None:
    """A collection of garbage within CPython's own call stopped all threads of the process for ever."""
    done = subprocess.run([sys.executable, "-c", COLLECTING], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_greenlets_of_one_thread_may_call() -> None:
    """With gevent the loop runs in one greenlet, and asyncio takes it for the running loop of all of them."""
    asyncio._set_running_loop(background_loop())
    try:
        assert run_sync(asyncio.sleep(0, "done")) == "done"
    finally:
        asyncio._set_running_loop(None)


def test_a_call_that_would_wait_for_itself_is_refused() -> None:
    async def calls() -> None:
        run_sync(asyncio.sleep(0))

    with pytest.raises(MoAError, match="would wait for itself"):
        run_sync(calls())
