"""The package's layout: root entries, layers, import cycles and public names."""

from collections import Counter

import moa_graph
from tests import layout
from tests.mutants.__main__ import faults, stale

MOST_MODULES = 31


def test_the_root_has_at_most_fifteen_entries_and_the_layers_name_each() -> None:
    entries = layout.root_entries()
    assert len(entries) <= 15
    assert {name.removesuffix(".py") for name in entries} - {"py.typed"} == set(layout.LAYERS)


def test_no_folder_holds_many_modules() -> None:
    """A folder with more is hard to find one's way in: modules of one task belong in a folder of their own."""
    counts = Counter(path.parent.relative_to(layout.ROOT).as_posix() for path in layout.modules().values())
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_imports_go_one_way() -> None:
    assert layout.violations() == []


def test_no_modules_import_each_other() -> None:
    assert layout.cycles() == []


def test_every_planted_fault_names_a_line_that_exists() -> None:
    assert stale(faults()) == []


def test_public_names_are_sorted_and_exist() -> None:
    assert moa_graph.__all__ == sorted(moa_graph.__all__)
    assert all(getattr(moa_graph, name) is not None for name in moa_graph.__all__)


def test_every_error_is_public_and_in_one_tree() -> None:
    from moa_graph import errors

    assert set(errors.__all__) < set(moa_graph.__all__)
    assert all(issubclass(getattr(errors, name), errors.MoAError) for name in errors.__all__)
    assert issubclass(errors.MoAError, RuntimeError)
    assert not issubclass(errors.MoAError, ValueError)
