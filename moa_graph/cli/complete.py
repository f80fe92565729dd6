"""Shell completion of presets, models and files. The shell calls it at every Tab, so it imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

_MIXTURES = frozenset({".yaml", ".yml", ".toml"})


def presets(incomplete: str) -> list[str]:
    """Complete a preset's name: the package's and the user's own."""
    from moa_graph.mixture.files import preset_names
    from moa_graph.mixture.own_presets import own_presets

    return [name for name in dict.fromkeys([*preset_names(), *own_presets()]) if name.startswith(incomplete)]


def models(incomplete: str) -> list[str]:
    """Complete a model: those of all presets, then the providers."""
    from moa_graph.models.providers import PROVIDERS

    known = sorted({*_listed_models(), *(f"{provider}:" for provider in PROVIDERS)})
    return [name for name in known if name.startswith(incomplete)]


def mixture_files(incomplete: str) -> list[str]:
    """Complete a path of a folder or a mixture file."""
    return _paths(incomplete, _MIXTURES)


def files(incomplete: str) -> list[str]:
    """Complete a path."""
    return _paths(incomplete, None)


def _paths(incomplete: str, suffixes: frozenset[str] | None) -> list[str]:
    head, slash, start = incomplete.rpartition("/")
    try:
        paths = sorted(Path(f"{head}{slash}" or ".").expanduser().iterdir())
    except (OSError, RuntimeError):  # RuntimeError: `~name` of an unknown user
        return []
    found = []
    for path in paths:
        if not path.name.startswith(start) or (path.name.startswith(".") and not start):
            continue
        if path.is_dir():
            found.append(f"{head}{slash}{path.name}/")
        elif suffixes is None or path.suffix.lower() in suffixes:
            found.append(f"{head}{slash}{path.name}")
    return found


def _listed_models() -> set[str]:
    """Return the models in the presets' files. They are not validated, because that would import pydantic."""
    import re

    from moa_graph.mixture.files import preset_names, preset_path
    from moa_graph.mixture.own_presets import own_presets

    paths = [*map(preset_path, preset_names()), *own_presets().values()]
    pattern = re.compile(r"""["']?([a-z][a-z0-9_]*:[A-Za-z0-9][\w./:@-]+)""")
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
    return {name for name in pattern.findall(text) if not name.startswith(("http:", "https:"))}
