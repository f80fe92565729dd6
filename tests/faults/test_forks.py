"""A process that forks after a call: sync calls, the ledger and the limiters work in the child as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.provider import Provider

CODE = """
import os, sys
from moa_graph import create_moa
from moa_graph.costs.ledger import Ledger
from moa_graph.models import rate_limit

url, path = sys.argv[1:]
spec = {"model": "openai:tok=4-a", "base_url": url}
ledger = Ledger(path, run="forks")
graph = create_moa(proposers=[spec], aggregator=spec, ledger=ledger)


def ask(question):
    return graph.invoke({"messages": question}, context={"item": question})["record"]["calls"]


assert ask("before") == 2
child = os.fork()
if child == 0:
    assert ask("in the child") == 2
    assert rate_limit.limiter("x").running == 0
    ledger.close()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert ask("after") == 2
assert ledger.count() == 6
ledger.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_asks_too(provider: Provider, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CODE, provider.url, str(tmp_path / "paid.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert provider.stats()["requests"] == 6
