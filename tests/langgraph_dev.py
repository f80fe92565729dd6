"""`langgraph dev` on a free loopback port, with the repository's own langgraph.json and a scripted mixture.

def test_something(langgraph_dev):                       # one server per session, mixture `MIXTURE`
    get_client(url=langgraph_dev.url)

with LangGraphDev({"proposers": [...], "aggregator": ...}, folder=tmp_path) as server: ...  # one of your own
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from tests.ports import free_port
from tests.provider import Provider

ROOT = Path(__file__).parents[1]
LINKS = ("moa_graph", "langgraph.json")
ANSWER = "the whole answer"


def scripted(provider: Provider, **fields: Any) -> dict[str, Any]:
    """A mixture whose three drafts are `draft one` ... `draft three` and whose answer is `ANSWER`."""

    def model(name: str, text: str) -> dict[str, Any]:
        return {"model": f"openai:{name}-say={text.replace(' ', '%20')}", "base_url": provider.url}

    proposers = [model(name, f"draft {name}") for name in ("one", "two", "three")]
    return {"name": "scripted", "proposers": proposers, "aggregator": model("agg", ANSWER), **fields}


class LangGraphDev:
    """The server in its own process and in `folder`, which has links to the package and to langgraph.json.

    `mixture` is written to a file that `MOA_PRESET` names; `env` overrides this process's environment, from which all
    LangSmith variables are removed. `changes` override keys of langgraph.json. `ServedFolder` serves a folder as it is.
    """

    def __init__(
        self,
        mixture: Mapping[str, Any],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.log = folder, folder / "server.log"
        for name in LINKS:
            (folder / name).symlink_to(ROOT / name)
        if changes:
            config = json.loads((folder / "langgraph.json").read_text()) | dict(changes)
            (folder / "langgraph.json").unlink()
            (folder / "langgraph.json").write_text(json.dumps(config))
        preset = folder / "mixture.yaml"
        preset.write_text(yaml.safe_dump(dict(mixture)))
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("LANGSMITH", "LANGCHAIN"))}
        self.env = clean | {
            "PYTHONPATH": str(ROOT),
            "MOA_PRESET": str(preset),
            "LANGSMITH_TRACING": "false",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "LANGGRAPH_NO_VERSION_CHECK": "true",
            **(env or {}),
        }
        self.command = [str(Path(sys.executable).parent / "langgraph"), "dev", "--no-browser", "--no-reload"]
        self._choose_port()
        self.command += ["--port", str(self.port), "--n-jobs-per-worker", "10"]

    def _choose_port(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and all its children."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def _wait(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/ok", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"langgraph dev did not start:\n{self.log.read_text()[-5000:]}")


class ServedFolder(LangGraphDev):
    """The server that `command` starts in `folder` as the folder is, with the environment `env` and no other variable.

    `{port}` in a part of the command stands for the port.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, log: Path, env: Mapping[str, str]) -> None:
        self.folder, self.log = folder, log
        self.env = {"PATH": os.environ["PATH"], "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true"}
        self.env |= {"HOME": str(log.parent), "LANGSMITH_TRACING": "false", **env}
        self._choose_port()
        self.command = [part.replace("{port}", str(self.port)) for part in command]


@pytest.fixture(scope="session")
def langgraph_dev(provider_server: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LangGraphDev]:
    """One server per session, serving `scripted` through the loopback provider as `moa` and `moa_answer`."""
    with LangGraphDev(scripted(provider_server), folder=tmp_path_factory.mktemp("langgraph-dev")) as server:
        yield server
