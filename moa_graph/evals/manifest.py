"""`run.json`: the measured system, models, judge, data and version. It assigns a folder to one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moa_graph.errors import ConfigError
from moa_graph.evals.data.files import inside, json_bytes, write
from moa_graph.mixture.proposer import Proposer

MANIFEST = "run.json"
_IDENTITY = ("benchmark", "system", "judge", "jury", "reference", "data", "settings")


def claim(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Assign the folder to this run and return its manifest.

    Benchmark, system, judge, settings, reference and data must be those of the folder. The selection, the package
    version and the way through Batch APIs may change: the manifest has the current selection, and every version and
    every host's Batch API that was used.

    Raises:
        ConfigError: The folder belongs to another run, or its manifest is damaged.
    """
    path = inside(folder, MANIFEST)
    now: dict[str, Any] = json.loads(json.dumps(manifest))
    if path.exists():
        # Version 0.1.0 knew no juries.
        before = {"jury": [], **_read(path)}
        # A run without a judge may be judged later, also against a reference; everything else must be unchanged.
        if before.get("judge") is None:
            before |= {name: now[name] for name in ("judge", "jury", "data", "settings", "reference")}
        if differing := [name for name in _IDENTITY if now[name] != before.get(name)]:
            raise ConfigError(
                f"{folder} belongs to another run (different {', '.join(differing)}). Choose another --out"
            )
        now["started"] = before.get("started", now["started"])
        now["versions"] = list(dict.fromkeys([*before.get("versions", []), *now["versions"]]))
        now["batch_api"] = sorted({*before.get("batch_api", []), *now["batch_api"]})
        now["passes"] = before.get("passes", 0)
    write(path, json_bytes(now))
    return now


def finished(folder: Path, *, unreadable: int) -> None:
    """Record the end of a run. The next run requests unreadable verdicts again."""
    if unreadable:
        path = inside(folder, MANIFEST)
        manifest = _read(path)
        write(path, json_bytes({**manifest, "passes": manifest.get("passes", 0) + 1}))


def read(folder: Path) -> dict[str, Any]:
    """Return a folder's manifest; empty if it has none."""
    path = folder / MANIFEST
    return _read(path) if path.is_file() else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {error}. Choose another --out") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is damaged: it is not a JSON object. Choose another --out")
    return found


def models_of(specs: Sequence[Proposer]) -> list[dict[str, Any]]:
    """Return models with their parameters; addresses and names of keys are left out."""
    return [_model(spec) for spec in specs]


def _model(spec: Proposer) -> dict[str, Any]:
    given: Mapping[str, Any] = spec.model_dump(mode="json", exclude={"base_url", "api_key_env"}, exclude_defaults=True)
    return {"model": spec.label, **{name: value for name, value in given.items() if name != "model"}}
