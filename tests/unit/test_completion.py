"""bash splits words at colons: they are joined again, and what bash keeps is left out of the completions."""

import os

import pytest

from moa_graph.cli.complete import files
from moa_graph.cli.completion import run_completion


@pytest.mark.parametrize(
    ("words", "current", "joined", "place", "offered"),
    [
        (["moa", "ask", "--proposer", "local", ":", "smo"], 5, "moa ask --proposer local:smo", 3, "smollm2"),
        (["moa", "ask", "--proposer", "local", ":"], 4, "moa ask --proposer local:", 3, "smollm2"),
        (["moa", "ask", "--proposer", "local"], 3, "moa ask --proposer local", 3, "local:smollm2"),
        (["moa", "ask", "a", ":", "b", "--preset", "lo"], 6, "moa ask a:b --preset lo", 4, "local:smollm2"),
        (
            ["moa", "ask", "--proposer", "local", ":", "smo", "x"],
            6,
            "moa ask --proposer local:smo x",
            4,
            "local:smollm2",
        ),
    ],
)
def test_words_are_joined_at_colons(monkeypatch, capsys, words, current, joined, place, offered) -> None:
    monkeypatch.setenv("_MOA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(current))

    def run() -> int:
        assert os.environ["COMP_WORDS"].split("\n") == joined.split(" ") and os.environ["COMP_CWORD"] == str(place)
        print("local:smollm2")
        raise SystemExit(0)

    assert run_completion(run) == 0
    assert capsys.readouterr().out == f"{offered}\n"


@pytest.mark.parametrize("folder", ["~no-such-user", "absent", "n" * 300])
def test_a_folder_that_cannot_be_listed_completes_nothing(folder) -> None:
    assert files(f"{folder}/a") == []
