"""Garbage collection in commands that run for long."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["loaded_frozen"]


@contextmanager
def loaded_frozen() -> Iterator[None]:
    """Exclude the loaded modules from garbage collection, now and once more after the first full collection.

    They live as long as the process. A full collection that examines them takes 130 ms, and 180 ms with what the first
    question loads; every open stream waits meanwhile. Later collections examine only what was made after that.

    At the end all objects are collected as before: a program that calls `moa_graph.cli.main` goes on, and its own
    garbage must not stay in memory.
    """

    def freeze_again(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            gc.callbacks.remove(freeze_again)
            gc.freeze()

    gc.collect()
    gc.freeze()
    gc.callbacks.append(freeze_again)
    try:
        yield
    finally:
        if freeze_again in gc.callbacks:
            gc.callbacks.remove(freeze_again)
        gc.unfreeze()
