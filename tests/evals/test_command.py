"""`moa eval` on recorded files: the figures of the published data through the command, as JSON and as tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from moa_graph.cli.eval.show import table
from tests.evals.bench import moa


def printed(capsys: pytest.CaptureFixture[str], *args: object) -> Any:
    """The JSON that the command prints, and nothing else on standard output."""
    assert moa(*args, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_annotations(asset_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = asset_folder / "alpaca_eval/annotations/claude-2.json.gz"
    found = printed(capsys, "alpaca", "--annotations", file)
    assert {"n", "win_rate", "standard_error", "discrete_win_rate", "length_controlled_winrate", "avg_length",
            "parse_failures"} <= set(found)  # fmt: skip
    assert (found["n"], found["avg_length"], found["parse_failures"]) == (805, 1069, 0)
    assert found["win_rate"] == pytest.approx(17.188240, abs=1e-6)
    assert found["length_controlled_winrate"] == pytest.approx(28.155196, abs=0.16)
    low, high = found["length_controlled_interval"]
    assert low < found["length_controlled_winrate"] < high
    assert "reconstructed" in found["length_controlled_note"]


def test_judgments(asset_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = asset_folder / "mt_bench/gpt-4_single.mamba-zephyr.jsonl.gz"
    found = printed(capsys, "mt-bench", "--judgments", file)
    keys = {"score", "first_turn", "second_turn", "n", "duplicates", "parse_failures"}
    assert all(keys <= set(row) for row in found.values())
    assert found["mamba_0_5_dpo_ep1"]["score"] == pytest.approx(7.121875)
    assert set(found["mamba_0_5_dpo_ep1"]["categories"]) >= {"math", "writing"}
    assert moa("mt-bench", "--judgments", file) == 0
    assert "mamba_0_875_dpo_ep3" in capsys.readouterr().out


def test_judges(asset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Computed and published rows are marked; the report plots bias against variance."""
    folder = asset_folder / "meta_eval"
    files = ("--humans", folder / "pandalm_testset-v1.json.gz",
             "--judge", f"pandalm={folder / 'pandalm_pandalm-7b-testset-v1.json.gz'}")  # fmt: skip
    found = printed(capsys, "judge", *files, "--out", tmp_path / "page")
    assert set(found) == {"humans", "pandalm"}
    assert {row["source"] for row in found.values()} == {"computed"}
    assert found["humans"]["kappa"]["1-2"] == pytest.approx(0.852, abs=1e-3)
    assert found["pandalm"]["human_agreement"] == pytest.approx(74.174, abs=1e-3)
    page = (tmp_path / "page/report.html").read_text()
    assert "Published by AlpacaEval (not computed here)" in page
    assert "<svg" in page
    assert moa("judge", *files) == 0
    table = capsys.readouterr()
    assert "published" in table.out
    assert "computed" in table.out
    assert "no Bias: needs several runs" in table.err


def test_compare_picks_a_model_of_a_file(asset_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = asset_folder / "mt_bench/gpt-4_single.mamba-zephyr.jsonl.gz"
    best, worst = f"{file}#mamba_0_5_dpo_ep3", f"{file}#mamba_0_875_dpo_ep3"
    row = printed(capsys, "compare", best, worst)["pairs"][0]
    assert row["n"] == 80  # questions, not turns
    assert row["difference"] == pytest.approx(7.3125 - 6.36875)
    assert moa("compare", file, best) == 2
    assert "select one with #" in capsys.readouterr().err
    assert moa("compare", best, asset_folder / "alpaca_eval/annotations/claude-2.json.gz") == 2
    assert "different benchmarks" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "listed"), [(40, True), (200, False)])
def test_a_table_whose_words_would_be_broken_is_a_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, listed: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    cells = ["synthesize by one: one + two", "66.67 [48.01, 81.24]*", "", "d75a28344a4cd97e"]
    table("the run", ["candidate", "score (%)", "against", "mixture"], [cells])
    shown = capsys.readouterr().out
    whole = "the run\n\nsynthesize by one: one + two\n  score (%): 66.67 [48.01, 81.24]*\n  mixture: d75a28344a4cd97e\n"
    assert shown.startswith(whole) is listed
    assert all(cell in shown for cell in cells) and "* this interval" in shown.replace("\n", " ")


def test_wrong_files_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text('[{"a": 1}]')
    for args in (("alpaca", "--annotations"), ("mt-bench", "--judgments")):
        assert moa(*args, tmp_path / "x.json") == 2
        assert moa(*args, tmp_path / "absent.json") == 2
        assert "Traceback" not in capsys.readouterr().err


def test_fetch_lists_source_size_hash_and_licence(asset_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert moa("fetch", "--list", "flask/") == 0
    told = capsys.readouterr().err
    assert told.count("never redistribute") == 6
    assert "sha256  791950bf1f159b048eba8fee205eba606926c25467a9a31e6f9b6affc2e3e13d" in told
    assert moa("fetch", "mt_bench/question.jsonl") == 0
    assert "folder" in capsys.readouterr().err
    assert moa("fetch", "nothing") == 2
