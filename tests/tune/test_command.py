"""`moa tune` from files to a decision, against the loopback provider."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from moa_graph import Mixture
from moa_graph.cli import main
from moa_graph.costs.file_lock import only_run
from tests.provider import Provider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Printed = tuple[int, str, str]


def say(text: str) -> str:
    return f"openai:say={quote(text, safe='')}"


@pytest.fixture
def moa(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Printed]:
    """The command in this process: exit code, output, errors. It works in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*args: object, command: str = "tune") -> Printed:
        code = main([command, *map(str, args)])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


def write_prompts(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_pool(path: Path, provider: Provider, *models: str, **fields: Any) -> Path:
    specs = [{"model": model, "base_url": provider.url, "name": f"m{n}"} for n, model in enumerate(models)]
    prices = {model.partition(":")[2]: [10.0, 10.0] for model in models}
    path.write_text(yaml.safe_dump({"models": specs, "prices": prices, **fields}))
    return path


def golds(many: int) -> list[dict[str, Any]]:
    """Two of three prompts have 5 as the right answer, the others 6."""
    return [{"id": f"q{n}", "prompt": f"{n}?", "gold": "6" if n % 3 == 0 else "5"} for n in range(many)]


def test_a_table_with_a_column_for_each_model_is_told_what_to_do(tmp_path: Path, moa: Callable[..., Printed]) -> None:
    (tmp_path / "wide.csv").write_text("question,gold,a,b\n" + "".join(f"Q{n}?,{n},{n},0\n" for n in range(5)))
    code, _, err = moa("wide.csv")
    assert code == 2
    assert "a row for each answer instead, with the columns `model`, `question`, `text` and `gold`" in err
    long = "".join(f"{name},Q{n}?,{n if name == 'a' else 0},{n}\n" for n in range(5) for name in "ab")
    (tmp_path / "long.csv").write_text("model,question,text,gold\n" + long)
    assert moa("long.csv")[0] == 0


def test_two_runs_do_not_work_in_one_folder(tmp_path: Path, provider: Provider, moa: Callable[..., Printed]) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(4))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    args = (path, "--pool", pool, "--samples", 1, "--out", "run", "--ledger", "drafts.db")
    with only_run(tmp_path / "run"):
        code, _, err = moa(*args)
        assert code == 3
        assert "another run is working there" in err
        assert provider.stats()["requests"] == 0
    assert moa(*args)[0] == 0


def test_from_a_file_to_a_decision(tmp_path: Path, provider: Provider, moa: Callable[..., Printed]) -> None:
    """Verdict, table, report, mixture file; the file has only the best model, and the hash of the report."""
    path = write_prompts(tmp_path / "mine.jsonl", golds(60))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("The answer is 5"), say("The answer is 6"), say("It is 9"))
    code, out, err = moa(path, "--pool", pool, "-k", 2, "--max-cost", 5, "-o", "best.yaml", "--out", "run")
    assert code == 0, err
    assert "Do not use a mixture; use m0 alone" in out
    assert "at most 33.33 points" in out
    assert "drafts: 60/60" in err
    assert "of $3.5" in err  # seven tenths of the cap
    figures = json.loads((tmp_path / "run/tune.json").read_text())
    assert figures["ceiling"]["oracle"] == pytest.approx(100)
    assert figures["best_single"] == "m0"
    assert figures["replayed"]["same"] == 60
    mixture = Mixture.load(tmp_path / "best.yaml")
    assert mixture.hash == figures["mixture"]
    assert f"run {figures['run']}" in (tmp_path / "best.yaml").read_text()
    code, out, _ = moa("--file", "best.yaml", "3?", command="ask")
    assert (code, out.strip()) == (0, "The answer is 5")
    page = (tmp_path / "run/report.html").read_text()
    assert "<svg" in page
    assert "Helped and hurt" in page
    sent = provider.stats()["requests"]
    code, out, _ = moa(path, "--pool", pool, "-k", 2, "--max-cost", 5, "--out", "again", "--json")
    assert (code, provider.stats()["requests"]) == (0, sent)
    assert json.loads(out)["candidates"] == figures["candidates"]
    code, out, _ = moa("show", "run")
    assert code == 0
    assert "Do not use a mixture; use m0 alone" in out


def test_open_answers_are_judged_and_the_judges_noise_is_measured(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    """A scripted judge; every verdict is paid once, also for texts that many candidates return."""
    rows = [{"prompt": f"Write about {n}.", "criteria": "It rhymes."} for n in range(12)]
    path = write_prompts(tmp_path / "open.jsonl", rows)
    pool = write_pool(tmp_path / "pool.yaml", provider, "openai:one-tok=30", "openai:two-tok=30")
    args = (path, "--pool", pool, "-k", 1, "--judge", say("Fine. [[7]]"), "--judge-url", provider.url, "--json")
    code, out, err = moa(*args, "--out", "run")
    assert code == 0, err
    figures = json.loads(out)
    assert figures["best_single"] in ("m0", "m1")
    assert figures["ceiling"]["best_single"] == pytest.approx(100 * 6 / 9)
    assert figures["judge_noise"]["same"] == 100
    assert figures["judge_noise"]["deviation"] == 0
    assert figures["verdict"] == "cannot tell"
    sent = provider.stats()["requests"]
    assert moa(*args, "--out", "run")[0] == 0
    assert provider.stats()["requests"] == sent


def test_a_sweep_reads_as_one_list(tmp_path: Path, provider: Provider, moa: Callable[..., Printed]) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("The answer is 5"), say("The answer is 6"))
    sweep = ("--sweep", "layers=2,3", "aggregator=m0,m1", "prompt=paper,fenced")
    code, out, err = moa(path, "--pool", pool, "-k", 1, *sweep, "--json", "--out", "run")
    assert code == 0, err
    figures = json.loads(out)
    assert len([row for row in figures["candidates"] if row["kind"].startswith("layers=")]) == 8
    effects = {(row["field"], row["value"]): row for row in figures["effects"]}
    assert effects["aggregator", "m1"]["gain"] < 0
    assert effects["layers", "3"]["gain"] == 0
    assert all("gain_interval" in row["cautions"] for row in figures["candidates"] if row["gain"] is not None)
    _, shown, _ = moa("show", "run")
    swept = [line for line in shown.splitlines() if line.startswith(("│ layers ", "│ prompt "))]
    assert len(swept) == 4 and sum("]*" in line for line in swept) == 2
    assert "* this interval may not hold its level" in shown


def test_a_dry_run_sends_nothing(tmp_path: Path, provider: Provider, moa: Callable[..., Printed]) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(10))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    code, out, _ = moa(path, "--pool", pool, "-k", 4, "--dry-run", "--json")
    assert code == 0
    assert (json.loads(out)["calls"], json.loads(out)["prompts"]) == (80, 10)
    assert provider.stats()["requests"] == 0


def test_a_dry_run_counts_no_verdicts_that_are_not_asked_for(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    """Prompts without criteria are graded by their right answers alone."""
    judged = [{"id": f"free{n}", "prompt": f"Write {n}.", "criteria": "Is it short?"} for n in range(2)]
    path = write_prompts(tmp_path / "mine.jsonl", [*golds(8), *judged])
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    judge = ("--judge", say("[[7]]"), "--judge-url", provider.url)
    args = (path, "--pool", pool, "-k", 2, *judge)
    code, out, _ = moa(*args, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["calls"] == 2 * 2 * (10 + 2)


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["none.jsonl", "--pool", "pool.yaml"], 2, "none.jsonl"),
        (["none.jsonl"], 2, "none.jsonl does not exist"),
        (["mine.jsonl"], 2, "--pool is missing"),
        (["mine.jsonl", "--check", "true"], 2, "--check goes with --pool"),
        (["mine.jsonl", "--pool", "none.yaml"], 3, "none.yaml"),
        (["mine.jsonl", "--pool", "pool.yaml", "-o", "mine.txt"], 2, ".yaml or .yml"),
        (["mine.jsonl", "--pool", "pool.yaml", "-o", "no/mine.yaml"], 2, "the folder no does not exist"),
        (["mine.jsonl", "--pool", "pool.yaml", "-o", "folder.yaml"], 2, "is a folder; name a file in it"),
        (["mine.jsonl", "--pool", "pool.yaml", "--out", "mine.jsonl"], 2, "--out mine.jsonl: cannot write"),
        (["mine.jsonl", "--pool", "pool.yaml", "--limit", "1"], 2, "--limit: expected a number of at least 4, got 1"),
        (["mine.jsonl", "--pool", "list.yaml"], 3, "pool file list.yaml: expected named fields such as `models:`"),
        (["mine.jsonl", "--pool", "entry.yaml"], 3, "pool file entry.yaml: models[1].temperature: expected a number"),
        (["mine.jsonl", "--pool", "empty.yaml"], 3, "pool.models: expected a list of 1 to 32 values"),
        (["mine.jsonl", "--pool", "bare"], 3, "pool bare: no preset has this name"),
        (["mine.jsonl", "--pool", "pool.yaml", "--judge", "openai:a"], 2, "--judge needs criteria"),
        (["mine.jsonl", "--pool", "pool.yaml", "--majority"], 2, "--majority needs a judge"),
        (
            ["mine.jsonl", "--pool", "pool.yaml", "--sweep", "layers=x"],
            2,
            "--sweep layers=x: layers: expected a whole number from 1 to 10",
        ),
        (["mine.jsonl", "--pool", "pool.yaml", "--sweep", "combine=verify"], 2, "name the check in the pool"),
        (["mine.jsonl", "--pool", "pool.yaml", "--sweep", "layers=2,,3"], 2, "a value is empty"),
        (["mine.jsonl", "--pool", "pool.yaml", "--sweep", "colour=red"], 2, "colour=red"),
        (["mine.jsonl", "--pool", "pool.yaml", "--sweep", "models=m0+m7"], 2, "m7"),
        (["mine.jsonl", "--pool", "pool.yaml", "--sweep", "samples=9"], 2, "samples=9"),
        (["mine.jsonl", "--pool", "pool.yaml", "--sweep", "aggregator=2026-13-45"], 2, "aggregator=2026-13-45"),
        (["mine.jsonl", "--pool", "pool.yaml", "--sweep", "layers=2,2"], 2, "layers: a value is given twice"),
        (["mine.jsonl", "--pool", "pool.yaml", "layers=2,3"], 2, "behind --sweep"),
        (["mine.jsonl", "--pool", "pool.yaml", "--check", "no-such-program"], 2, "no-such-program"),
        (["mine.jsonl", "--pool", "pool.yaml", "--match", "like"], 2, "--match like"),
        (["mine.jsonl", "--pool", "pool.yaml", "--criteria", "short"], 2, "--judge"),
        (["open.jsonl", "--pool", "pool.yaml"], 2, "nothing says what is right"),
        (["mine.jsonl", "--pool", "odd.yaml"], 3, "unknown field 'modles'"),
        (["mine.jsonl", "--pool", "twice.yaml"], 3, "listed twice"),
        (["mine.jsonl", "--pool", "keyed.yaml"], 3, "Set it, or leave the model out of the pool"),
        (["mine.jsonl", "--pool", "unpriced.yaml", "--max-cost", "1"], 3, "price"),
        (["show", "nowhere"], 2, "no run of moa tune"),
        (["show"], 2, "give one run's folder"),
    ],
)
def test_bad_input_is_one_error_before_any_request(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed], args: list[str], code: int, told: str
) -> None:
    write_prompts(tmp_path / "mine.jsonl", golds(8))
    write_prompts(tmp_path / "open.jsonl", [{"prompt": f"{n}?"} for n in range(8)])
    write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    (tmp_path / "odd.yaml").write_text("modles: [a]\n")
    (tmp_path / "list.yaml").write_text("- openai:a\n")
    (tmp_path / "entry.yaml").write_text("models: ['openai:a', {model: 'openai:b', temperature: hot}]\n")
    (tmp_path / "empty.yaml").write_text("models: []\n")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "twice.yaml").write_text("models: ['local:smollm2', 'local:smollm2']\n")
    (tmp_path / "keyed.yaml").write_text("models: ['openai:gpt-6.1-sol']\n")
    (tmp_path / "unpriced.yaml").write_text(f"models: [{{model: 'openai:mine', base_url: '{provider.url}'}}]\n")
    found, _, err = moa(*args)
    assert (found, told in err) == (code, True), err
    assert not [words for words in ("Traceback", "Input should", "Field required", "Errno") if words in err]
    assert provider.stats()["requests"] == 0


def test_a_folder_keeps_to_its_run(tmp_path: Path, provider: Provider, moa: Callable[..., Printed]) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    assert moa(path, "--pool", pool, "-k", 1, "--out", "run", "--free-only")[0] == 0
    code, _, err = moa(path, "--pool", pool, "-k", 2, "--out", "run", "--free-only")
    assert code == 3
    assert "holds the run" in err


def test_a_provider_that_fails_leaves_the_rest(tmp_path: Path, provider: Provider, moa: Callable[..., Printed]) -> None:
    """One model is down: its drafts score 0 and the result says so. All are down: one error."""
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("The answer is 5"), "openai:err400")
    code, out, err = moa(path, "--pool", pool, "-k", 1, "--free-only", "--json", "--out", "run")
    assert code == 0, err
    figures = json.loads(out)
    assert any("missing drafts, which score 0: 8" in text for text in figures["cautions"])
    assert any("err400" in text for text in figures["cautions"])
    down = write_pool(tmp_path / "down.yaml", provider, "openai:err400", "openai:err404")
    code, _, err = moa(path, "--pool", down, "-k", 1, "--out", "down")
    assert code == 1
    assert "no draft could be had" in err
    assert "400" in err


def test_a_check_that_cannot_run_is_one_error_before_any_request(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    (tmp_path / "killed.py").write_text("import os; os.kill(os.getpid(), 9)")
    (tmp_path / "slow.py").write_text("import time; time.sleep(60)")
    for name, told, seconds in (
        ("none.py", "can't open file", 100),
        ("killed.py", "ended by signal 9", 100),
        ("slow.py", "longer than 1", 1),
    ):
        code, _, err = moa(path, "--pool", pool, "--check", f"{sys.executable} {name}", "--check-timeout", seconds)
        assert (code, told in err) == (2, True), err
    assert provider.stats()["requests"] == 0


def test_a_check_that_refuses_every_draft_is_quoted_before_candidates_are_paid(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    (tmp_path / "crash.py").write_text("raise RuntimeError('no such table')")
    args = (path, "--pool", pool, "-k", 1, "--ledger", "drafts.db")
    code, _, err = moa(*args, "--check", f"{sys.executable} crash.py")
    assert code == 1
    assert "the check refused every draft. It wrote: RuntimeError: no such table" in err
    assert provider.stats()["requests"] == 16
    (tmp_path / "crash.py").write_text("")
    assert moa(*args, "--check", f"{sys.executable} crash.py", "--free-only", "--out", "again")[0] == 0
    assert provider.stats()["requests"] == 16


def test_a_judge_that_always_fails_is_one_error_and_the_drafts_are_kept(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    path = write_prompts(tmp_path / "open.jsonl", [{"prompt": f"{n}?", "criteria": "It is right."} for n in range(8)])
    pool = write_pool(tmp_path / "pool.yaml", provider, "openai:one-tok=8", "openai:two-tok=8")
    args = (path, "--pool", pool, "-k", 1, "--judge-url", provider.url, "--ledger", "drafts.db", "--free-only")
    for judge, told in (("openai:err400", "400"), (say("nothing to read"), "no verdict could be read")):
        code, _, err = moa(*args, "--judge", judge, "--out", judge[-5:])
        assert (code, told in err) == (1, True), err
        assert "no draft could be graded" in err
        assert "Traceback" not in err
    sent = [request.model for request in provider.requests()]
    assert sum(model.startswith(("one", "two")) for model in sent) == 16


def test_a_result_that_cannot_be_written_is_told_in_the_error(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    """As on a full disk: something cannot be written when everything is paid."""
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    (tmp_path / "run/tune.json").mkdir(parents=True)
    args = (path, "--pool", pool, "-k", 1, "--free-only", "--ledger", "drafts.db")
    code, _, err = moa(*args, "--out", "run")
    assert code == 1
    assert "run cannot be written: Is a directory. The decision was: Cannot tell" in err
    sent = provider.stats()["requests"]
    assert moa(*args, "--out", "again")[0] == 0
    assert provider.stats()["requests"] == sent


def test_a_file_that_tune_did_not_write_is_kept(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    code, _, err = moa(path, "--pool", pool, "-k", 1, "-o", pool)
    assert (code, "moa tune did not write it" in err) == (2, True), err
    assert provider.stats()["requests"] == 0
    for _ in range(2):
        assert moa(path, "--pool", pool, "-k", 1, "--free-only", "-o", "mine.yaml", "--out", "run")[0] == 0


def test_files_with_a_mark_and_windows_line_ends(
    tmp_path: Path, provider: Provider, moa: Callable[..., Printed]
) -> None:
    path = write_prompts(tmp_path / "mine.jsonl", golds(8))
    pool = write_pool(tmp_path / "pool.yaml", provider, say("5"), say("6"))
    for each in (path, pool):
        each.write_bytes(b"\xef\xbb\xbf" + each.read_bytes().replace(b"\n", b"\r\n"))
    code, out, err = moa(path, "--pool", pool, "-k", 1, "--free-only", "--json")
    assert code == 0, err
    assert json.loads(out)["n"] == 8
