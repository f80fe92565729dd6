"""Reset state in a forked child process."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["after_fork"]


def after_fork(reset: Callable[[], None]) -> Callable[[], None]:
    """Run `reset` in every child that is forked from now on. Threads, locks and connections of the parent are unusable
    there.

    Use it as a decorator of a function without arguments. On systems without fork it does nothing.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
    return reset
