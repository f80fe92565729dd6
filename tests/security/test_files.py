"""Malicious mixture files: bombs, deep nesting, pipes, duplicate fields.

Each gives one error at once, and exit code 3.
"""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moa_graph import ConfigError, Mixture
from moa_graph.cli.home import add_preset
from moa_graph.cli.log import Log
from moa_graph.mixture.safe_yaml import MAX_DEPTH, MAX_VALUES, load_yaml

HEAD = "proposers: ['openai:a']\naggregator: 'openai:b'\n"


def levels(count: int, width: int = 10) -> str:
    """Anchors that expand to `width` ** `count` values."""
    lines = [f"  a0: &a0 [{','.join('x' * width)}]"]
    lines += [f"  a{i}: &a{i} [{','.join([f'*a{i - 1}'] * width)}]" for i in range(1, count)]
    return "\n".join(lines)


BOMB = f"proposers: [{{model: 'openai:a', params: {{x: {{}}}}}}]\naggregator: 'openai:b'\nbomb:\n{levels(9)}\n"
TRAPS = {
    "bomb.yaml": BOMB,
    "bomb-in-maps.yaml": "a0: &a0 {k: v}\n"
    + "\n".join(f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}}}" for i in range(1, 40)),
    "bomb-by-merging.yaml": "a0: &a0 {k: v}\n"
    + "\n".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)),
    "circle.yaml": HEAD + "note: &a [*a]\n",
    "flow.yaml": HEAD + "note: " + "[" * 100_000,
    "closed.yaml": HEAD + "note: " + "[" * 5_000 + "]" * 5_000,
    "maps.yaml": HEAD + "note: " + "{a: " * 5_000 + "1" + "}" * 5_000,
    "block.yaml": HEAD + "note:\n" + "".join(" " * (i + 1) + "a:\n" for i in range(700)),
    "number.yaml": HEAD + "layers: " + "9" * 5_000,
    "date.yaml": HEAD + "note: 2024-99-99\n",
    "tag.yaml": HEAD + "note: !!python/object/apply:os.system ['true']\n",
    "tag-bool.yaml": HEAD + "shuffle: !!bool maybe\n",
    "tag-int.yaml": HEAD + "layers: !!int ''\n",
    "tag-float.yaml": HEAD + "deadline: !!float ''\n",
    "tag-time.yaml": HEAD + "date: !!timestamp today\n",
    "tag-list.yaml": HEAD + "note: !!omap [a]\n",
    "tag-own.yaml": "%TAG ! tag:yaml.org,2002:python/\n---\n" + HEAD + "note: !name:os.system x\n",
    "sixties.yaml": HEAD + "layers: " + ":".join(["1"] * 300_000),
    "sixties-float.yaml": HEAD + "deadline: " + ":".join(["1"] * 400) + ".5",
    "hex.yaml": HEAD + "layers: 0x" + "f" * 900_000,
    "two.yaml": HEAD + "---\n" + HEAD,
    "twice.yaml": HEAD + "layers: 2\nlayers: 3\n",
    "twice-inside.yaml": "proposers: [{model: 'openai:a', model: 'openai:c'}]\naggregator: 'openai:b'\n",
    "deep.toml": "x = " + "[" * 5_000 + "]" * 5_000,
    "dotted.toml": ".".join("a" * 3_000) + " = 1\n",
    "dotted-more.toml": "x = {" + ".".join("a" * 400_000) + " = 1}\n",
    "dotted-quotes.toml": "[[" + " . ".join(['"a"'] * 150_000) + "]]\n",
    "headers.toml": "\n".join("[" + ".".join("a" * 60) + f".b{n}]" for n in range(4_000)),
    "number.toml": "layers = " + "9" * 5_000,
    "twice.toml": "layers = 2\nlayers = 3\n",
    "large.yaml": HEAD + "note: |\n  " + "x" * 1_000_000,
    "binary.yaml": "\0\0\0",
    "empty.yaml": "",
    "list.yaml": "[1, 2]",
    "keys.yaml": "{1: 2}",
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_one_error_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(TRAPS[name])
    start = time.monotonic()
    with pytest.raises(ConfigError, match=name) as caught:
        Mixture.load(path)
    assert time.monotonic() - start < 30 and len(str(caught.value)) < 2_000 and "\n" not in str(caught.value)


def test_of_many_unknown_fields_twenty_are_named() -> None:
    """Finding the known field that is nearest to each took 20 seconds."""
    with pytest.raises(ConfigError, match="59,980 more unknown fields") as caught:
        Mixture(**{f"field{n}": 1 for n in range(60_000)})
    assert len(caught.value.problems) < 30


def test_texts_with_dots_are_no_dotted_keys(tmp_path: Path) -> None:
    (tmp_path / "dots.toml").write_text(
        'proposers = ["openai:a"]\naggregator = "openai:b"\n'
        f'system = """{"...." * 1000} {"Yes. No " * 1000}\n{"1.2." * 20}"""\n'
    )
    assert Mixture.load(tmp_path / "dots.toml").system


@pytest.mark.parametrize(
    "name", ["bomb.yaml", "closed.yaml", "deep.toml", "number.yaml", "tag-bool.yaml", "twice.yaml"]
)
def test_the_command_ends_with_3(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TRAPS[name])
    command = [sys.executable, "-m", "moa_graph", "ask", "--file", name, "hi"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 3 and name in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"m\.yaml"):
        Mixture.load(path)


def test_anchors_and_merge_keys_of_people_pass(tmp_path: Path) -> None:
    text = (
        "proposers:\n  - &base {model: 'openai:a', temperature: 0.5, params: {top_p: 0.9}}\n"
        "  - {<<: *base, model: 'openai:b'}\n  - {<<: *base, model: 'openai:c', temperature: 1.0}\n"
        "aggregator: {<<: *base, model: 'openai:d'}\n"
    )
    (tmp_path / "m.yaml").write_text(text)
    mixture = Mixture.load(tmp_path / "m.yaml")
    assert [spec.temperature for spec in mixture.proposers] == [0.5, 0.5, 1.0]


def test_a_field_that_replaces_a_merged_one_is_not_a_field_twice() -> None:
    """Also where the merged mapping is built after the one that merges it."""
    text = "c: &c {x: 0, y: 0}\na: {inner: &b {<<: *c, x: 1}}\nchild: {<<: *b, y: 2}\n"
    assert load_yaml(text)["child"]["y"] == 2


def test_the_limits_are_exact() -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    assert load_yaml(nested(MAX_DEPTH)) is not None
    with pytest.raises(ValueError, match="deeper"):
        load_yaml(nested(MAX_DEPTH + 1))
    assert len(load_yaml(f"[{','.join('x' * (MAX_VALUES - 1))}]")) == MAX_VALUES - 1
    with pytest.raises(ValueError, match="values"):
        load_yaml(f"[{','.join('x' * MAX_VALUES)}]")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("first", ["presets add", "logs off"])
def test_nobody_else_can_write_the_users_folder(first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others of a group could replace the confirmations in it."""
    monkeypatch.setenv("MOA_HOME", str(tmp_path / "home"))
    file = tmp_path / "mine.yaml"
    file.write_text("proposers: [local:smollm2]\naggregator: local:smollm2\n")
    before = os.umask(0)
    try:
        if first == "logs off":
            Log.open().switch(on=False)
        add_preset(file, None)
    finally:
        os.umask(before)
    folders = [tmp_path / "home", tmp_path / "home" / "presets"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700, 0o700]
