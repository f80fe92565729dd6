"""Changes of the user's own presets, and the folder of runs."""

from __future__ import annotations

import re
from pathlib import Path

from moa_graph.errors import ConfigError, InputError
from moa_graph.mixture.own_presets import own_presets
from moa_graph.mixture.user_folders import home

RUNS = Path("moa-evals")
"""Where `moa eval` and `moa tune` keep their runs when no other folder is named, below the working directory."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_at_home(path: object) -> bool:
    """Return whether a path leads into the folder, or to a folder around it that is missing."""
    try:
        return isinstance(path, str) and (Path(path).is_relative_to(home()) or home().is_relative_to(path))
    except ConfigError:  # MOA_HOME is wrong
        return False


def add_preset(file: Path, name: str | None, *, replace: bool = False) -> tuple[str, Path]:
    """Check a mixture file and copy it to the user's own presets; return its name and its path.

    Raises:
        ConfigError: The file is not a mixture.
        InputError: The name is invalid or taken.
    """
    from moa_graph.costs.file_lock import one_at_a_time
    from moa_graph.mixture.files import preset_names
    from moa_graph.mixture.mixture import Mixture
    from moa_graph.mixture.whole_file import write_whole

    Mixture.load(file, trust=True)  # a copy sends and runs nothing; its own confirmation is needed before a run
    name = name or file.stem
    if not _NAME.fullmatch(name) or name.endswith((".yaml", ".yml", ".toml")):
        raise InputError(f"{name!r} cannot be a preset's name: use letters, digits, dots, - and _.")
    if name in preset_names():
        raise InputError(f"{name!r} is a preset of the package. Give another name after the file.")
    target = home() / "presets" / f"{name}{file.suffix.lower()}"
    # It makes the user's folder for its owner alone: others could replace the confirmations in it.
    with one_at_a_time(home() / "presets.lock"):
        taken = own_presets().get(name)
        if taken and not replace:
            raise InputError(f"the preset {name!r} already exists: {taken}. --replace overwrites it.")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (target.exists() and target.samefile(file)):
            write_whole(target, file.read_bytes())
        if taken and taken != target:
            taken.unlink()
    return name, target


def remove_preset(name: str) -> Path:
    """Delete one of the user's own presets; return its former path.

    Raises:
        InputError: No preset has that name.
    """
    path = own_presets().get(name)
    if path is None:
        mine = ", ".join(own_presets()) or "none"
        raise InputError(f"{name!r} is not one of your own presets ({mine}).")
    path.unlink()
    return path
