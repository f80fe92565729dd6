"""`moa tune` on the embedded model: no key and no network."""

import json
from pathlib import Path

import pytest
import yaml

from moa_graph import Mixture
from moa_graph.cli import main
from moa_graph.errors import ConfigError
from moa_graph.models.local import locate
from tests.tune.test_command import write_prompts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def capitals(tmp_path: Path) -> list[str]:
    """Write four prompts, and two system prompts of the embedded model as a pool; return the arguments."""
    golds = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid"}
    rows = [
        {"prompt": f"What is the capital of {name}?", "gold": gold, "match": "regex"} for name, gold in golds.items()
    ]
    path = write_prompts(tmp_path / "capitals.jsonl", rows)
    models = [
        {"model": "local:smollm2", "name": name, "system": system, "temperature": 0, "max_tokens": 24}
        for name, system in (("plain", "You are a helpful assistant."), ("brief", "Answer in one word."))
    ]
    pool = tmp_path / "pool.yaml"
    pool.write_text(yaml.safe_dump({"models": models}))
    return ["tune", str(path), "--pool", str(pool)]


def test_from_a_file_to_a_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two prompts of the embedded model as a pool; one paid candidate of a sweep writes with it."""
    try:
        locate("smollm2")
    except ConfigError as missing:
        pytest.skip(str(missing))
    monkeypatch.chdir(tmp_path)
    args = [*capitals(tmp_path), "-k", "1", "--sweep", "prompt=paper", "--json", "-o", "mine.yaml"]
    assert main(args) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n"] == 4
    assert figures["verdict"] in ("single", "cannot tell")
    assert {row["status"] for row in figures["candidates"]} == {"measured"}
    assert all(row["dollars_per_1000"] == 0 for row in figures["candidates"])
    assert figures["replayed"]["same"] == figures["replayed"]["prompts"]
    assert Mixture.load(tmp_path / "mine.yaml").hash == figures["mixture"]
