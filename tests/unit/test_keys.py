"""The source of keys: the environment, or else the nearest .env upward."""

from pathlib import Path

import pytest

from moa_graph import MissingKeyError, Proposer
from moa_graph.models.secrets.keys import environment, key_name, keys_now, require_keys


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory two levels below a .env file."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-file\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    return tmp_path


def test_env_file_is_found_upward(below: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert environment("OPENAI_API_KEY") == "from-file"


def test_the_environment_wins(below: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    assert environment("OPENAI_API_KEY") == "from-environment"


def test_an_empty_variable_counts_as_unset(below: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert environment("OPENAI_API_KEY") == "from-file"


def test_every_missing_key_is_named_with_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingKeyError) as caught:
        require_keys([Proposer(model="openai:a"), Proposer(model="together:b"), Proposer(model="local:smollm2")])
    assert caught.value.names == ["OPENAI_API_KEY", "TOGETHER_API_KEY"]
    assert "openai:a" in str(caught.value) and "together:b" in str(caught.value)


def test_a_server_by_address_uses_only_the_key_it_names() -> None:
    assert key_name(Proposer(model="openai:x", base_url="http://localhost:1/v1")) is None
    assert key_name(Proposer(model="together:x", base_url="http://localhost:1/v1", api_key_env="OWN")) == "OWN"


def test_a_model_is_rebuilt_only_when_its_key_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache keys of models with known key variables, and of models whose packages read their own."""
    names = {"openai:a": "OPENAI_API_KEY", "anthropic:a": "ANTHROPIC_API_KEY", "bedrock:a": "AWS_SESSION_TOKEN"}
    for name in names.values():
        monkeypatch.setenv(name, "first-1")
    for model, name in names.items():
        before = keys_now(Proposer(model=model))
        monkeypatch.setenv("MOA_NOTHING", "changed")
        assert keys_now(Proposer(model=model)) == before and "first-1" not in before
        monkeypatch.setenv(name, "second-2")
        assert keys_now(Proposer(model=model)) != before
    own = Proposer(model="openai:a", base_url="http://localhost:1/v1")
    before = keys_now(own)
    monkeypatch.setenv("OPENAI_API_KEY", "third-3")
    assert keys_now(own) == before
