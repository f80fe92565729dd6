"""Fixtures for every test: the loopback provider and the folder of shared assets."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.langgraph_dev import langgraph_dev as langgraph_dev
from tests.provider import Provider

# A shell that starts the tests in the background has them, and all they start, ignore Ctrl-C: tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's own folder (presets, the log of questions), empty and not the real one."""
    home = tmp_path_factory.mktemp("home") / "moa_graph"
    monkeypatch.setenv("MOA_HOME", str(home))
    return home


# How fast a busy machine makes examples says nothing about the code.
settings.register_profile("moa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("moa")


@pytest.fixture(scope="session")
def provider_server() -> Iterator[Provider]:
    """One server a session; tests take `provider`."""
    with Provider() as server:
        yield server


@pytest.fixture
def provider(provider_server: Provider) -> Provider:
    """The loopback provider with a fresh log."""
    provider_server.reset()
    return provider_server


@pytest.fixture(scope="session")
def shared() -> Path:
    """Assets that are not in the repository (MOA_SHARED, else ../shared); skips where there are none."""
    path = Path(os.environ.get("MOA_SHARED") or Path(__file__).parents[2] / "shared")
    if not path.is_dir():
        pytest.skip(f"no shared assets at {path}: set MOA_SHARED to their folder")
    return path
