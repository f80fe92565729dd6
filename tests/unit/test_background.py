"""The background loop's watch over interrupts, in threads of sync callers."""

import subprocess
import sys

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
