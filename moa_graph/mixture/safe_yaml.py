"""YAML that cannot be a trap: bounded size after expansion, bounded depth, every field once, plain values only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MAX_DEPTH = 50
MAX_VALUES = 100_000
"""Values in a file after its aliases are expanded."""

MAX_DIGITS = 100
"""Characters of a number. YAML's numbers of base 60 take quadratic time, and long ones fit no number of Python's."""

_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")


def load_yaml(text: str) -> Any:
    """Return the one document in `text` as plain values.

    Raises:
        ValueError: The text is not YAML, has a field twice, a tag or a very long number, is nested too deeply, or
            expands to too many values.
    """
    # Imported here: a graph made from names needs no YAML.
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    # YAML 1.1, which this loader reads, takes 1e-3 for a text: JSON and YAML 1.2 take it for a number.
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    try:
        _check_size(yaml.parse(text, Loader=yaml.SafeLoader))
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _check_nodes(root)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = exc.problem or exc.context or ""
        raise ValueError(f"{place}{f'{exc.context}, {said}' if said.startswith('but ') else said}") from exc
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc


def check_depth(value: Any) -> None:
    """Refuse values nested deeper than `MAX_DEPTH`.

    Raises:
        ValueError: The value is nested too deeply.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner = [each.values() if isinstance(each, Mapping) else each for each in level]
        level = [part for each in inner if isinstance(each, Iterable) and not isinstance(each, str) for part in each]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _check_size(events: Any) -> None:
    """Count values as they would be after expansion, before anything is built."""
    from yaml import events as kinds

    sizes: dict[str, int] = {}
    anchors: list[tuple[str | None, int]] = []
    total = 0
    for event in events:
        if tag := getattr(event, "tag", None):
            # A tag names a type, whose reader may fail in any way for a value of another one.
            name = tag.replace("tag:yaml.org,2002:", "!!")
            raise ValueError(f"line {event.start_mark.line + 1}: the tag {name} is not accepted. Write a plain value.")
        if isinstance(event, kinds.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} stands for something that contains it, or for nothing")
            total += sizes[event.anchor]
        elif isinstance(event, kinds.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, kinds.CollectionStartEvent):
            total += 1
            anchors.append((event.anchor, total - 1))
            if event.anchor:
                sizes.pop(event.anchor, None)
            if len(anchors) > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, kinds.CollectionEndEvent):
            anchor, before = anchors.pop()
            if anchor:
                sizes[anchor] = total - before
        if total > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values once its aliases are expanded")


def _check_nodes(root: Any) -> None:
    """Refuse long numbers, and a field that is written twice in one mapping.

    Runs before merge keys (`<<`) change the nodes.
    """
    from yaml import nodes

    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.ScalarNode):
            if len(node.value) > MAX_DIGITS and node.tag.endswith((":int", ":float")):
                raise ValueError(f"line {node.start_mark.line + 1}: a number of {len(node.value):,} characters")
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += [part for each in node.value for part in (each if isinstance(each, tuple) else (each,))]
        names = set[str]()
        for key, _ in node.value if isinstance(node, nodes.MappingNode) else ():
            if not isinstance(key, nodes.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if key.value in names:
                line = key.start_mark.line + 1
                raise ValueError(f"the field {key.value!r} is written twice, the second time in line {line}")
            names.add(key.value)
