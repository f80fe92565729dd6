"""`moa eval compare` on small recorded files: names, judges, ids, and the corrections for many tests."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from moa_graph.evals.data.files import Row
from moa_graph.evals.reports.comparison_report import compare_page
from tests.evals.bench import lines, moa


def annotations(generator: str, wins: list[float], judge: str = "openai:judge") -> str:
    """AlpacaEval annotations of one system; `wins` are 0 to 1 by prompt."""
    texts = {"output_1": "reference", "output_2": "model"}
    rows = [
        {"instruction": f"i{n}", **texts, "generator_2": generator, "annotator": judge, "preference": 1 + win}
        for n, win in enumerate(wins)
    ]
    return json.dumps(rows)


def files(folder: Path, texts: dict[str, str]) -> list[Path]:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def compared(capsys: pytest.CaptureFixture[str], *args: object) -> Any:
    capsys.readouterr()
    assert moa("compare", *args, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_three_systems_are_corrected_over_all_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both kinds of p, smallest first, times three, two, one and never falling; the page shows the corrected ones."""
    wins = {"good": [1.0] * 22 + [0.0] * 8, "fair": [1.0] * 14 + [0.0] * 16, "poor": [1.0] * 6 + [0.0] * 24}
    paths = files(tmp_path, {f"{name}.json": annotations(name, values) for name, values in wins.items()})
    found = compared(capsys, *paths, "--out", tmp_path / "page")
    assert [(row["a"], row["b"]) for row in found["pairs"]] == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    for name in ("p", "mcnemar_p"):
        raw = sorted(row[name] for row in found["pairs"])
        best = min(1.0, 3 * raw[0])
        middle = max(best, min(1.0, 2 * raw[1]))
        wanted = [best, middle, max(middle, raw[2])]
        assert sorted(row[f"{name}_holm"] for row in found["pairs"]) == pytest.approx(wanted)
        assert any(row[f"{name}_holm"] > row[name] for row in found["pairs"])
    assert found["pairs"][0]["mcnemar_p"] == pytest.approx(2 / 2**8)  # eight prompts differ, all one way
    assert found["pairs"][0]["mcnemar_p_holm"] == pytest.approx(2 * 2 / 2**8)
    page = (tmp_path / "page/report.md").read_text()
    assert "McNemar p (Holm)" in page
    assert "| 0.01562 |" in page


def test_a_page_has_no_plot_of_thousands_of_pairs() -> None:
    """46 systems have 1,035 pairs: a plot of them is nothing to see, and 200 systems' took minutes."""
    system: Row = {"name": "s", "n": 2, "mean": 50.0, "interval": None, "caution": None, "cost": None, "degraded": None}
    pair: Row = {"a": "s", "b": "t", "n": 2, "n_a": 2, "n_b": 2, "mean_a": 1.0, "mean_b": 1.0, "difference": 0.0,
                 "interval": [-1.0, 1.0], "caution": None, "p_holm": 1.0, "tied": True}  # fmt: skip
    figures = {"benchmark": "x", "warnings": [], "systems": [{**system, "categories": {}}], "pairs": [pair]}
    assert "<svg" in "".join(compare_page(figures).body)
    many = "".join(compare_page({**figures, "pairs": [pair] * 1035}).body)
    assert "<svg" not in many and many.count("<td>tied</td>") == 1035
    assert "1,035 differences are too many for a plot" in many


def test_figures_do_not_depend_on_the_order_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(5)
    for name, order in (("one", 1), ("other", -1)):
        draw.seed(5)
        texts = {f"{name}/{of}.json": annotations(of, [draw.random() for _ in range(60)]) for of in "ab"}
        rows = {file: json.dumps(json.loads(text)[::order]) for file, text in texts.items()}
        files(tmp_path, rows)
    one, other = (compared(capsys, tmp_path / name / "a.json", tmp_path / name / "b.json") for name in ("one", "other"))
    assert one == other


def test_a_difference_that_does_not_survive_the_correction_is_a_tie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seven of thirty prompts, all one way: a difference alone, a tie among six pairs."""
    plain = [0.0] * 30
    paths = files(
        tmp_path,
        {"a.json": annotations("a", [1.0] * 7 + plain[7:])}
        | {f"{n}.json": annotations(n, plain) for n in ("b", "c", "d")},
    )
    alone = compared(capsys, *paths[:2])["pairs"][0]
    assert (alone["p"], alone["tied"]) == (alone["p_holm"], False)
    first = compared(capsys, *paths)["pairs"][0]
    assert first["p"] == alone["p"] < 0.05 <= first["p_holm"]
    assert first["tied"]


def reviews(shift: dict[str, float], *, key: str = "idx", text: bool = False) -> str:
    """FLASK reviews of forty items with two skills each; `shift` moves a skill's score on nine items of ten."""
    rows: list[Row] = []
    for n in range(40):
        scores = {skill: 3.0 + (by if n % 10 else 0) for skill, by in shift.items()}
        review = f"Good. {json.dumps(scores)}"
        rows.append(
            {key: str(n) if text else n, "skill": list(shift), "review": review, "judge_record": {"model": "j"}}
        )
    return lines(rows)


def test_flask_is_corrected_over_skills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        "a.jsonl": reviews({"Factuality": 1.0, "Readability": 0.0}),
        "b.jsonl": reviews({"Factuality": 0.0, "Readability": 0.0}),
    }
    found = compared(capsys, *files(tmp_path, texts), "--out", tmp_path / "page")
    row = found["pairs"][0]
    assert row["n"] == 40  # questions, not scores
    assert row["difference"] == pytest.approx(0.45)
    fact, read = row["skills"]["Factuality"], row["skills"]["Readability"]
    assert fact["difference"] == pytest.approx(0.9)
    assert (fact["p_holm"], fact["tied"]) == (pytest.approx(2 * fact["p"]), False)
    assert (read["difference"], read["p_holm"], read["tied"]) == (0, 1, True)
    assert "a is better" in (tmp_path / "page/report.md").read_text()


@pytest.mark.parametrize(("key", "text"), [("question_id", False), ("question_id", True), ("idx", True)])
def test_flask_ids_in_every_published_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, text: bool
) -> None:
    """The original's files say `question_id`, and as text; they are joined with integer ids."""
    other = reviews({"Factuality": 1.0}, key=key, text=text)
    paths = files(tmp_path, {"a.jsonl": reviews({"Factuality": 0.0}), "b.jsonl": other})
    assert compared(capsys, *paths)["pairs"][0]["n"] == 40
    (tmp_path / "bad.jsonl").write_text(lines([{"review": "x", key: "first"}]))
    assert moa("compare", paths[0], tmp_path / "bad.jsonl") == 2
    assert "review 1 has no idx or question_id that is a number: 'first'" in capsys.readouterr().err


def judgments(judge: str, model: str = "m") -> str:
    row = {"model": model, "turn": 1, "score": 5, "judge": [judge, "single-v1"]}
    return lines([{**row, "question_id": n} for n in range(81, 85)])


def test_the_interval_of_a_rating_does_not_leave_its_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rated = judgments("j").replace('"score": 5', '"score": 10').replace('"score": 10', '"score": 7', 1)
    a, b = files(tmp_path, {"a.jsonl": rated, "b.jsonl": judgments("j")})
    found = {row["name"]: row["interval"] for row in compared(capsys, a, b)["systems"]}
    assert found["a"][0] < 9.25 and found["a"][1] == 10


def test_the_interval_of_a_difference_of_percentages_does_not_leave_their_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Student's t of two prompts reaches from -585 to 685."""
    paths = files(tmp_path, {"a.json": annotations("a", [1.0, 1.0]), "b.json": annotations("b", [1.0, 0.0])})
    [row] = compared(capsys, *paths)["pairs"]
    assert (row["difference"], row["interval"]) == (50.0, [-100.0, 100.0])


def test_systems_that_share_no_prompts_leave_the_others_to_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {name: json.loads(annotations(name, [1.0, 0.0, 1.0])) for name in "abc"}
    for row in rows["c"][1:]:
        row["instruction"] += " of another set"
    paths = files(tmp_path, {f"{name}.json": json.dumps(each) for name, each in rows.items()})
    found = compared(capsys, *paths)
    assert [(row["a"], row["b"]) for row in found["pairs"]] == [("a", "b")]
    assert [(row["a"], row["b"], row["reason"]) for row in found["refused"]] == [
        (name, "c", "they share fewer than two prompts") for name in "ab"
    ]
    assert moa("compare", paths[0], paths[2]) == 2
    assert "a and c cannot be compared: they share fewer than two prompts" in capsys.readouterr().err


def test_two_models_of_one_provider_are_two_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a judge may have slashes. The whole name is compared, without the prompt's name."""
    big, small = "together:Qwen/Qwen3-235B", "together:Qwen/Qwen2.5-7B"
    a, b, c = files(tmp_path, {"a.jsonl": judgments(big), "b.jsonl": judgments(small), "c.jsonl": judgments(big)})
    assert moa("compare", a, b) == 2
    assert f"they have different judges ({big}; {small})" in capsys.readouterr().err
    assert compared(capsys, a, c)["warnings"] == []


def test_files_of_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Systems are named by their recorded name, else by their folder, else by numbers, so that names differ."""
    good, poor = [1.0] * 12, [0.0] * 12
    texts = {
        "one/run/annotations.json": annotations("left", good),
        "two/run/annotations.json": annotations("right", poor),
        "three/run/annotations.json": annotations("left", poor),
    }
    one, two, three = files(tmp_path, texts)
    assert moa("compare", one, two) == 0
    assert "left is better" in "".join(capsys.readouterr().out.split("\n"))
    names = compared(capsys, one, three)["pairs"][0]
    assert (names["a"], names["b"]) == ("one/run/annotations", "three/run/annotations")
    names = compared(capsys, one.parent, three.parent)["pairs"][0]
    assert (names["a"], names["b"]) == ("one/run", "three/run")
    names = compared(capsys, one, one)["pairs"][0]
    assert (names["a"], names["b"]) == ("annotations (1)", "annotations (2)")
    other = files(tmp_path, {"x/gpt.jsonl": judgments("j"), "y/gpt.jsonl": judgments("j")})
    names = compared(capsys, *(f"{path}#m" for path in other))["pairs"][0]
    assert (names["a"], names["b"]) == ("x/gpt#m", "y/gpt#m")
