"""A mixture file's problems: all of them at once, each with its line, its proposer and its field."""

from __future__ import annotations

from pathlib import Path

import pytest

from moa_graph.errors import ConfigError
from moa_graph.mixture.mixture import Mixture

BAD = """\
proposers:
  - {model: "local:smollm2", temprature: 1}
  - model: "local:smollm2"
    name: second
    temperature: hot
layer: 3
deadline: -4
aggregator: {model: "local:smollm2"}
"""


def refused(tmp_path: Path, text: str, name: str = "mine.yaml") -> str:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Mixture.load(file)
    return str(caught.value)


def test_all_problems_are_listed_with_their_lines(tmp_path: Path) -> None:
    head, *problems = refused(tmp_path, BAD).splitlines()
    assert head.endswith("mine.yaml: 4 problems.")
    assert sorted(" ".join(text.split()[:2]) for text in problems) == ["line 2,", "line 5,", "line 6,", "line 7,"]
    by_line = {text.split()[1].rstrip(","): text for text in problems}
    assert "proposers[0] (local:smollm2).temprature: unknown field" in by_line["2"]
    assert "Did you mean 'temperature'?" in by_line["2"]
    assert "proposers[1] (second).temperature: " in by_line["5"]
    assert "Did you mean 'layers'?" in by_line["6"] and "deadline: " in by_line["7"]


def test_one_problem_is_one_line(tmp_path: Path) -> None:
    text = refused(tmp_path, 'proposers: ["local:smollm2"]\naggregator: "local:smollm2"\nquorum: 5\n')
    assert "\n" not in text and "mine.yaml, line 3, quorum: 5 drafts wanted" in text


def test_a_syntax_error_has_its_line_and_no_parser_jargon(tmp_path: Path) -> None:
    text = refused(tmp_path, 'proposers:\n  - {model: "a:b"\naggregator: "a:b"\n')
    assert "line 3" in text and "<unicode string>" not in text and "\n" not in text and "^" not in text


def test_a_second_document_is_named_as_such(tmp_path: Path) -> None:
    text = refused(tmp_path, 'proposers: ["a:b"]\n---\naggregator: "a:b"\n')
    assert "line 2, column 1: expected a single document in the stream, but found another document" in text


def test_a_toml_file_names_the_field(tmp_path: Path) -> None:
    text = refused(tmp_path, 'proposers = ["local:smollm2"]\naggregator = "local:smollm2"\nlayer = 3\n', "mine.toml")
    assert "mine.toml: layer: unknown field 'layer'" in text
