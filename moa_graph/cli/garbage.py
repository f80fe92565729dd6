"""Garbage collection in commands that run for long."""

from __future__ import annotations

import gc

__all__ = ["freeze_loaded"]


def freeze_loaded() -> None:
    """Exclude the loaded modules from garbage collection, now and once more after the first full collection.

    They live as long as the process. A full collection that examines them takes 130 ms, and 180 ms with what the first
    question loads; every open stream waits meanwhile. Later collections examine only what was made after that.
    """

    def freeze_again(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            gc.callbacks.remove(freeze_again)
            gc.freeze()

    gc.collect()
    gc.freeze()
    gc.callbacks.append(freeze_again)
