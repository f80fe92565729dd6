"""The package's layers: the root entries, their allowed imports, and import cycles.

`python -m tests.layout` prints them.
"""

from __future__ import annotations

import ast
from pathlib import Path

import moa_graph

ROOT = Path(moa_graph.__file__).parent

LAYERS = (
    "errors",
    "state",
    "mixture",
    "costs",
    "models",
    "graph",
    "chat",
    "batch",
    "studio",
    "evals",
    "serve",
    "cli",
    "__init__",
    "__main__",
)
"""Every entry of the package root, lowest layer first. A module imports only from its own entry and those before it."""


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("moa_graph", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def entry_of(module: str) -> str:
    """The root entry that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def imported(path: Path, known: dict[str, Path], *, at_import: bool = False) -> set[str]:
    """The modules of this package that a file imports, imports for type checkers included.

    `at_import` leaves out the imports inside functions: those cannot make an import cycle.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in _statements(tree) if at_import else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in known}


def _statements(tree: ast.AST) -> list[ast.AST]:
    """The nodes outside functions."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += [child, *_statements(child)]
    return found


def root_entries() -> list[str]:
    """Entries of the package root, without caches."""
    return sorted(p.name for p in ROOT.iterdir() if not p.name.startswith((".", "__pycache__")))


def violations() -> list[str]:
    """Imports from a higher layer, as "module imports module"."""
    known = modules()
    order = {entry: place for place, entry in enumerate(LAYERS)}
    found = []
    for module, path in known.items():
        mine = entry_of(module)
        if mine == "__init__":
            continue  # the public names: imported lazily from every layer
        for other in sorted(imported(path, known)):
            theirs = entry_of(other)
            if theirs != "__init__" and order[theirs] > order[mine]:
                found.append(f"{module} imports {other}")
    return found


def cycles() -> list[list[str]]:
    """Groups of modules that import each other at import time (strongly connected components of two or more)."""
    known = modules()
    edges = {name: imported(path, known, at_import=True) - {name, "moa_graph"} for name, path in known.items()}
    return sorted(sorted(group) for group in _components(edges) if len(group) > 1)


def _components(edges: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components: two nodes are in one when each reaches the other."""
    reach = {name: _reached(name, edges) for name in edges}
    groups: list[set[str]] = []
    seen: set[str] = set()
    for name in edges:
        if name not in seen:
            group = {name} | {other for other in reach[name] if name in reach[other]}
            seen |= group
            groups.append(group)
    return groups


def _reached(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    stack = [start]
    while stack:
        for name in edges[stack.pop()] - found:
            found.add(name)
            stack.append(name)
    return found


def main() -> None:
    entries = root_entries()
    print(f"root entries ({len(entries)}): {', '.join(entries)}")
    print(f"layers ({len(LAYERS)}): {' < '.join(LAYERS)}")
    print(f"imports from a higher layer: {len(violations())}", *violations(), sep="\n  ")
    print(f"import cycles: {len(cycles())}", *map(" <-> ".join, cycles()), sep="\n  ")


if __name__ == "__main__":
    main()
