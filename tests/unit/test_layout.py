"""The house: imports run one way, and the public names are pinned."""

import ast
from pathlib import Path

import moa_graph

ROOT = Path(moa_graph.__file__).parent
# The storeys of the house, lowest first: no room reaches a room above its own storey, whatever lies between them.
STOREYS = [
    {"errors", "state", "prompts"},
    {"mixture", "context", "prices", "ledger"},
    {"models"},
    {"calls"},
    {"nodes"},
    {"graph"},
    {"chat_model", "studio"},
    {"cli", "serve", "evals"},
]


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


def reached() -> dict[str, set[str]]:
    """For every room, the rooms it reaches through others."""
    reach: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        room = room_of(path)
        if room != "__init__":
            reach.setdefault(room, set()).update(imports_of(path) - {room, "__version__"})
    for _ in reach:
        for rooms in reach.values():
            rooms |= {further for room in rooms for further in reach.get(room, ())}
    return reach


def test_imports_make_no_circle() -> None:
    assert not [room for room, rooms in reached().items() if room in rooms]


def test_imports_run_one_way() -> None:
    reach = reached()
    for storey, rooms in enumerate(STOREYS):
        above = set().union(*STOREYS[storey + 1 :])
        for room in rooms & set(reach):
            assert not reach[room] & above, f"{room} reaches {sorted(reach[room] & above)}"


def test_nothing_imports_studio() -> None:
    assert not [p.name for p in ROOT.rglob("*.py") if "studio" in imports_of(p)]


def test_public_names_are_sorted_and_exist() -> None:
    assert moa_graph.__all__ == sorted(moa_graph.__all__)
    assert all(getattr(moa_graph, name) is not None for name in moa_graph.__all__)
