"""The runs of `moa tune` on the owner's page: the list, the reports, and who may see them."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from moa_graph.cli import main
from moa_graph.evals.tune import tune
from moa_graph.serve.page.tune_runs import find_runs
from tests.serving import Served, mixture
from tests.tune.fakes import Sums, prompts

FOREIGN = "<!doctype html><title>x</title><script>document.title='run'</script><img src='https://evil.example/x'>"


def measured(folder: Path) -> Path:
    """A real run of four questions on models in this process."""
    pool = [Sums(model=f"m{n}", right=0.5) for n in range(2)]
    tune(prompts(4), pool=pool, samples=1, paid=False, ledger=folder.parent / "drafts.db", out=folder)
    return folder


def written(folder: Path, verdict: str = "single", report: str = FOREIGN) -> Path:
    folder.mkdir(parents=True)
    (folder / "tune.json").write_text(json.dumps({"verdict": verdict, "sentence": f"Use <b>{verdict}</b>.", "n": 30}))
    (folder / "report.html").write_text(report)
    return folder


def get(server, path, **headers):
    request = urllib.request.Request(f"{server.url}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode(), exc.headers


@pytest.fixture
def owner(provider_server, tmp_path):
    team = mixture(provider_server, "one", aggregator="agg")
    with Served({"team": team}, editor=True, tune=[tmp_path / "runs"]) as server:
        yield server


def test_a_finished_run_is_listed_and_its_report_shown(owner, tmp_path):
    """Runs are found at every request; a run that is not finished is not one yet."""
    assert "None yet" in get(owner, "/moa/tune")[1]
    (tmp_path / "runs/begun").mkdir(parents=True)
    folder = measured(tmp_path / "runs/mine")
    status, page, headers = get(owner, "/moa/tune")
    sentence = json.loads((folder / "tune.json").read_text())["sentence"]
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert '<a href="tune/mine">mine</a>: cannot tell, 4 questions' in page and sentence in page and "begun" not in page
    status, report, headers = get(owner, "/moa/tune/mine")
    assert (status, report) == (200, (folder / "report.html").read_text())
    assert "What can be won" in report and "<svg" in report


def test_a_report_may_run_and_load_nothing(owner, tmp_path):
    written(tmp_path / "runs/foreign")
    for path in ("/moa/tune", "/moa/tune/foreign"):
        _, _, headers = get(owner, path)
        rules = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert rules["default-src"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
        assert "script-src" not in rules and rules["sandbox"] == ""
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "Use &lt;b&gt;single&lt;/b&gt;." in get(owner, "/moa/tune")[1]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"verdict": "v", "sentence": "s", "n": Infinity}', "{}", "x"])
def test_a_file_that_is_not_a_runs_hides_no_run(owner, tmp_path, text):
    written(tmp_path / "runs/mine")
    (written(tmp_path / "runs/damaged") / "tune.json").write_text(text)
    status, page, _ = get(owner, "/moa/tune")
    assert status == 200 and "tune/mine" in page and "tune/damaged" not in page


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e", "..%2f..%2fetc", "x%00", "a/b"])
def test_no_other_file_is_served(owner, tmp_path, name):
    written(tmp_path / "runs/x")
    assert get(owner, f"/moa/tune/{name}")[0] == 404


@pytest.mark.parametrize("path", ["/moa/tune", "/moa/tune/x"])
def test_only_the_owner_at_this_machine_sees_them(owner, served, tmp_path, path):
    written(tmp_path / "runs/x")
    assert get(owner, path)[0] == 200
    assert get(owner, path, Host="10.0.0.1")[0] == 403
    assert get(owner, path, Origin="https://evil.example")[0] == 403
    assert get(served, path)[0] == 404


def test_runs_of_one_name_are_told_apart(tmp_path):
    """Folders may be given as a run or as a folder of runs, and twice; other folders are left out."""
    one, two = written(tmp_path / "a/run", "single"), written(tmp_path / "b/run", "mixture")
    (written(tmp_path / "a/odd") / "tune.json").write_text("{}")
    (tmp_path / "a/file").write_text("x")
    found = find_runs([tmp_path / "a", two, one, tmp_path / "none"])
    assert {run.name: run.verdict for run in found}.keys() == {"run", "run-2"}
    assert sorted(run.verdict for run in found) == ["mixture", "single"]


def test_a_folder_without_a_run_is_refused_before_anything_is_served(tmp_path, capsys):
    assert main(["ui", "--tune", str(tmp_path), "--no-browser", "--port", "0"]) == 2
    assert "there is no finished run of moa tune in it" in capsys.readouterr().err
