"""The repository: no secret in a tracked file, no dependency from outside the package index."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHAPES = {
    "AWS": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "GitHub": r"\b(?:ghp|gho|ghs|ghu|ghr)_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}",
    "Google": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "OpenAI": r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{40,}",
    "Anthropic": r"\bsk-ant-[A-Za-z0-9_-]{60,}",
    "LangSmith": r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}\b",
    "Slack": r"\bxox[abprs]-[A-Za-z0-9-]{20,}",
    "Hugging Face": r"\bhf_[A-Za-z0-9]{34}\b",
    "PyPI": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\n",
}
MADE_UP = re.compile("planted|example|victim", re.IGNORECASE)
"""Words in the keys that tests plant and that AWS's documentation shows."""
FOUND = re.compile("|".join(f"(?:{shape})" for shape in SHAPES.values()))


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a clone of the repository")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def test_no_tracked_file_holds_a_secret() -> None:
    found = []
    for path in tracked():
        if not path.is_file() or path.is_symlink():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        real = (match[0] for match in FOUND.finditer(text) if not MADE_UP.search(match[0]))
        found += [f"{path.relative_to(ROOT)}: {secret[:12]}..." for secret in real]
        assert path.name != ".env", "a file of keys is tracked"
    assert found == []


def test_the_scan_finds_what_it_looks_for() -> None:
    planted = {
        "AWS": "AKIA" + "A1B2C3D4E5F6G7H8",
        "GitHub": "ghp_" + "a1" * 18,
        "Google": "AIza" + "a" * 35,
        "OpenAI": "sk-proj-" + "a1" * 24,
        "Anthropic": "sk-ant-" + "a1" * 35,
        "LangSmith": "lsv2_pt_" + "a1" * 16 + "_" + "b2" * 5,
        "Slack": "xoxb-" + "1" * 24,
        "Hugging Face": "hf_" + "a" * 34,
        "PyPI": "pypi-" + "a" * 60,
        "private key": "-----BEGIN RSA PRIVATE KEY" + "-----\n",
    }
    assert planted.keys() == SHAPES.keys()
    assert all(FOUND.search(f"key = {value}") for value in planted.values())


def test_dependencies_come_from_the_package_index_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    assert [each for each in wanted if "@" in each or "://" in each] == []


def test_the_package_runs_no_shell_and_loads_no_pickle() -> None:
    risky = re.compile(
        r"\b(?:pickle|marshal|shelve)\.loads?\(|\bos\.system\(|shell=True|\byaml\.(?:unsafe_)?load\(|\beval\("
    )
    sources = sorted((ROOT / "moa_graph").rglob("*.py"))
    assert [str(path) for path in sources if risky.search(path.read_text(encoding="utf-8"))] == [] and len(sources) > 50
