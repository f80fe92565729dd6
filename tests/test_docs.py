"""Every python and bash block of the documentation runs. Blocks that need keys are marked `text`."""

import ast
import json
import os
import pydoc
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from typer.main import get_command

import moa_graph
from moa_graph import Mixture, MoAContext, Proposer, create_moa
from moa_graph.cli import COMMANDS
from moa_graph.evals.tune.pool import Pool, names_of
from moa_graph.evals.tune.sweep import grid, read_sweep
from moa_graph.mixture.files import preset_names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)

# One process per page: its python blocks share their names, as a reader's session would.
RUNNER = """
import json, subprocess, sys
names = {"__name__": "__main__"}
for kind, place, text in json.load(sys.stdin):
    if kind == "bash":
        subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True, stdin=subprocess.DEVNULL)
    else:
        exec(compile(text, place, "exec"), names)
"""


def blocks(page: Path, *kinds: str) -> list[tuple[str, str, str]]:
    """(kind, where, text) of the page's code blocks of these kinds."""
    text = page.read_text(encoding="utf-8")
    found = BLOCK.finditer(text)
    return [
        (match[1], f"{page.name}:{text[: match.start()].count(chr(10)) + 2}", match[2])
        for match in found
        if match[1] in kinds
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python", "bash")], ids=lambda page: page.name)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "TOGETHER_API_KEY", "MOA_PRESET"):
        monkeypatch.delenv(name, raising=False)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=json.dumps(blocks(page, "python", "bash")),
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=390,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is_and_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {"python", "bash", "text", "mermaid", "yaml", "toml", "json"}
    assert {match[1] for match in BLOCK.finditer(text)} <= known
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", BLOCK.sub("", text)):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def sections(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_section_names_one(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for file, section in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)", text):
        assert section in sections(page.parent / file if file else page), f"{page.name} links to {file}#{section}"


@cache
def command(name: str) -> Any:
    return get_command(COMMANDS[name].load())


def unknown_options(line: str) -> list[str]:
    """The options of the `moa` commands in a line that the commands do not have."""
    found = []
    for text in re.findall(rf"\bmoa ((?:{'|'.join(COMMANDS)})\b[^|;&<>]*)", line):
        first, *words = text.partition(" #")[0].split()
        called = command(first)
        while words and words[0] in getattr(called, "commands", {}):
            called = called.commands[words.pop(0)]
        known = {name for option in called.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        found += [word for word in words if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_a_command_is_one_of_it(page: Path) -> None:
    lines = [line for *_, text in blocks(page, "bash", "text") for line in text.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(moa [^`]+)`", BLOCK.sub("", page.read_text(encoding="utf-8")))
    for line in lines:
        assert unknown_options(line) == [], line
    assert unknown_options("moa eval run prompts.jsonl --resamples 3 -f a.yaml | moa ask -z --file") == [
        "--resamples",
        "-z",
    ]


def test_the_sweep_of_the_page_of_tuning_takes_the_pool_of_that_page() -> None:
    page = ROOT / "docs" / "tune.md"
    pool = Pool.model_validate(yaml.safe_load(blocks(page, "yaml")[0][2]))
    entries = next(re.findall(r"\w+=\S+", text) for *_, text in blocks(page, "text") if "--sweep" in text)
    assert len(grid(read_sweep(entries), pool.names, names_of(pool.aggregators), depth=5)) == 8


def test_the_python_reference_has_every_public_name_and_every_name_that_a_page_or_an_example_imports() -> None:
    described: set[int] = set()
    for place, options in re.findall(r"^::: (\S+)(?:\n    options: (.*))?", (ROOT / "docs/api.md").read_text(), re.M):
        whole = pydoc.locate(place)
        assert whole is not None, f"docs/api.md: there is no {place}"
        members = re.search(r"members: \[(.*?)\]", options)
        names = members[1].split(", ") if members else getattr(whole, "__all__", None) or list(vars(whole))
        described |= {id(whole), *(id(getattr(whole, name)) for name in names if hasattr(whole, name))}
    programs = [(place, text) for page in PAGES for _, place, text in blocks(page, "python")]
    programs += [(path.name, path.read_text(encoding="utf-8")) for path in (ROOT / "examples").glob("*.py")]
    imported = {
        (place, str(node.module), alias.name)
        for place, text in programs
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("moa_graph")
        for alias in node.names
    }
    public = {("moa_graph.__all__", "moa_graph", name) for name in moa_graph.__all__ if name != "__version__"}
    missing = [name for name in imported | public if id(pydoc.locate(f"{name[1]}.{name[2]}")) not in described]
    assert sorted(missing) == []


def test_the_first_snippet_is_short_and_the_graph_is_the_codes_own() -> None:
    readme = ROOT / "README.md"
    assert len(blocks(readme, "python")[0][2].strip().splitlines()) <= 6
    drawn = create_moa("local").get_graph().draw_mermaid()
    assert blocks(readme, "mermaid")[0][2].strip() == drawn.strip()


@pytest.mark.parametrize("kind", [Mixture, Proposer, MoAContext], ids=lambda kind: kind.__name__)
def test_the_page_of_mixtures_names_every_field(kind: type[BaseModel]) -> None:
    text = (ROOT / "docs" / "mixtures.md").read_text(encoding="utf-8")
    fields, _, context = text.partition("## What one run may change")
    section = context if kind is MoAContext else fields.partition("## Fields of a model")[2]
    assert set(kind.model_fields) <= set(re.findall(r"`(\w+)`", section))


def test_the_table_of_presets_is_true() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = {
        name: (int(calls), int(layers))
        for name, calls, layers in re.findall(r"^\| `([\w-]+)` \| (\d+) \| (\d+) \|", text, re.M)
    }
    loaded = {name: Mixture.load(name) for name in preset_names()}
    assert shown == {name: (mixture.calls(), mixture.total_layers) for name, mixture in loaded.items()}
