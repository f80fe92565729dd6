"""The house: imports run one way, and the public names are pinned."""

import ast
from pathlib import Path

import moa_graph

ROOT = Path(moa_graph.__file__).parent
# Lower rooms first; a room may import rooms of a lower level only (its own package aside).
LEVELS = [
    {"errors"},
    {"state", "prompts", "conversation", "mixture_files"},
    {"mixture", "prices", "ledger", "retry", "limits"},
    {"context"},
    {"wire", "local"},
    {"models"},
    {"runtime"},
    {"calls"},
    {"nodes", "round", "runner"},
    {"graph"},
    {"chat_model", "studio", "remote"},
    {"batch", "serve", "evals"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def imports_of(path: Path) -> set[str]:
    """Rooms that `path` imports when it runs, wherever in the file; imports for types alone do not count."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "moa_graph":
                names |= {alias.name for alias in node.names}
            elif node.module.startswith("moa_graph."):
                names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("moa_graph.")}
    return names


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_imports_run_one_way() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        room = room_of(path)
        if room == "__init__":
            continue
        for name in imports_of(path) - {room, "__version__"}:
            assert name in LEVEL, f"{path.name} imports {name}, which is no known room"
            if LEVEL[name] >= LEVEL[room]:
                wrong.append(f"{room} imports {name}")
    assert not wrong


def test_nothing_imports_studio() -> None:
    assert not [p.name for p in ROOT.rglob("*.py") if "studio" in imports_of(p)]


def test_public_names_are_sorted_and_exist() -> None:
    assert moa_graph.__all__ == sorted(moa_graph.__all__)
    assert all(getattr(moa_graph, name) is not None for name in moa_graph.__all__)
