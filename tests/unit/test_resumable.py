"""SIGTERM ends a run in order: the event loop finishes its step, and the run's task is cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator

import pytest
import typer

from moa_graph.cli.resumable import TERMINATED, resumable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there, SIGTERM ends a process without a handler")


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["Ctrl-C works", "Ctrl-C is ignored"])
def interrupt(request: pytest.FixtureRequest) -> Iterator[None]:
    """A shell without job control lets background jobs ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupt")
def test_sigterm_cancels_the_run_between_two_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception in the middle of a step would leave coroutines that nothing awaits."""
    steps: list[str] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        steps.append("the step goes on")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, resumable("how it is resumed") as runner:
        runner.run(work())
    assert ended.value.exit_code == TERMINATED
    assert steps == ["the step goes on", "cancelled"]
    assert capsys.readouterr().err == "how it is resumed\n"
    assert signal.getsignal(signal.SIGTERM) is before
