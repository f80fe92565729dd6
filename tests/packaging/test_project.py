"""The project's infrastructure: declared dependencies, workflows, checks of a release, pages."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from moa_graph.models.providers import PROVIDERS
from tests.packaging import release

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared(*extras: str) -> dict[str, Requirement]:
    """The project's requirements by name, with those of extras."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    found = map(Requirement, texts)
    return {canonicalize_name(each.name): each for each in found}


def imported() -> dict[str, set[str]]:
    """Every top-level module of others that the package imports, with the files that do."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "moa_graph").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top != "moa_graph":
                    found.setdefault(top, set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_imported_package_is_declared() -> None:
    # Each extra is one way to install the package. Development tools are not requirements of it.
    extras = set(PROJECT["optional-dependencies"]) - {"dev", "docs", "quick"}
    known, homes = declared(*extras), packages_distributions()
    missing = {
        f"{top} ({', '.join(sorted(files))})"
        for top, files in imported().items()
        if not {canonicalize_name(name) for name in homes.get(top, [top])} & set(known)
    }
    assert not missing


def test_the_extra_that_an_error_names_installs_the_providers_package() -> None:
    for name, provider in PROVIDERS.items():
        if provider.package:
            assert {"langchain", provider.package} <= set(declared(provider.extra)), name


def test_every_requirement_has_a_floor_and_a_ceiling() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"dev", "docs", "quick"}
    for requirement in declared(*extras).values():
        if requirement.name != PROJECT["name"]:
            operators = {each.operator for each in requirement.specifier}
            assert {">=", "<"} <= operators, f"{requirement} has no bounds"


def test_workflows_keep_to_their_schema() -> None:
    files = sorted((ROOT / ".github/workflows").glob("*.yml"))
    assert len(files) >= 3
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, files)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_workflows_run_what_is_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").glob("*.yml"))
    targets = set(re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    known = {target for line in targets for target in line.split()}
    assert set(re.findall(r"run: make ([a-z-]+)", text)) <= known
    for module in re.findall(r"python -m (tests[\w.]+)", text):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists() or (ROOT / module.replace(".", "/")).is_dir()


def test_the_pages_for_contributors_lead_somewhere() -> None:
    for page in ("CONTRIBUTING.md", "AGENTS.md"):
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page} links to {target}"
    skill = (ROOT / "skills/moa/SKILL.md").read_text(encoding="utf-8").splitlines()
    assert len(skill) <= 40 and skill[1] == "name: moa"


def test_every_page_of_the_documentation_is_in_the_sites_index() -> None:
    listed = set(re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M))
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree in git whose version is 1.2.3."""
    (tmp_path / "moa_graph").mkdir()
    (tmp_path / "moa_graph/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.3, 2026-01-02\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "First"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_release_is_refused_until_everything_agrees(tree: Path) -> None:
    assert release.problems(tree) == []
    assert release.problems(tree, tag="v1.2.4") == ["the tag is v1.2.4, __version__ is 1.2.3"]
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.2, 2026-01-02\n")
    version, changed = release.problems(tree)
    assert version == "__version__ is 1.2.3, the newest version of CHANGELOG.md is 1.2.2"
    assert "CHANGELOG.md" in changed
    subprocess.run(["git", "checkout", "-q", "."], cwd=tree, check=True)
    subprocess.run(["git", "tag", "v1.2.3"], cwd=tree, check=True)
    assert release.problems(tree) == ["the tag v1.2.3 exists"]
