"""Fixtures for every test: the loopback provider and the folder of shared assets."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.langgraph_dev import langgraph_dev as langgraph_dev
from tests.provider import Provider

# A shell that starts the tests in the background makes them and their children ignore SIGINT, which tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_LONGEST = {"test_docs.py", "test_embedded.py", "test_examples.py", "test_kill.py", "test_local.py", "test_wheel.py"}
"""Files that take minutes. They begin first, so that none of them runs alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files by name and not by folder: the folder `browser` would start several browsers at once."""
    items.sort(key=lambda item: (item.path.name not in _LONGEST, item.path.name, str(item.path)))


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Replace the user's own folder (presets, the log of questions) with an empty one."""
    home = tmp_path_factory.mktemp("home") / "moa_graph"
    monkeypatch.setenv("MOA_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_paused_runs() -> Iterator[None]:
    """Forget the runs that a test leaves paused: another test in this process counts those of its own."""
    yield
    if module := sys.modules.get("moa_graph.graph.runs"):  # most tests of other parts do not import LangGraph
        with module._lock:
            module._runs.clear()


# No deadline: the speed of a busy machine is not a property of the code.
settings.register_profile("moa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("moa")


@pytest.fixture(scope="session")
def provider_server() -> Iterator[Provider]:
    """One server per session; tests use `provider`."""
    with Provider() as server:
        yield server


@pytest.fixture
def provider(provider_server: Provider) -> Provider:
    """The loopback provider with a fresh log."""
    provider_server.reset()
    return provider_server


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of assets that are not in the repository (MOA_SHARED, else ../shared). Skip the test without it."""
    path = Path(os.environ.get("MOA_SHARED") or Path(__file__).parents[2] / "shared")
    if not path.is_dir():
        pytest.skip(f"no shared assets at {path}: set MOA_SHARED to their folder")
    return path
