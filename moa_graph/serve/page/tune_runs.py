"""The runs of `moa tune` for the owner of the server at this machine: a list, and each run's report."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from moa_graph.errors import InputError
from moa_graph.serve.page.editor import require_local
from moa_graph.serve.problems import Problem, problem

__all__ = ["TuneRoutes", "TuneRun", "find_runs", "require_runs"]

RESULT, REPORT = "tune.json", "report.html"
"""The files of a run that are read here; `moa_graph.evals.tune` writes them, and needs more than a server has."""
_MOST_BYTES = 64 << 20
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""A report is a file that anybody may have written: it runs no script, loads nothing, and has no origin."""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
:root { color-scheme: light dark; }
dt { margin-top: 1rem; font-weight: 600; }
"""


@dataclass(frozen=True)
class TuneRun:
    """A finished run.

    Attributes:
        name: Its name in the list: the folder's, numbered where two are equal.
        folder: Its files.
        verdict: What was decided.
        sentence: Why.
        prompts: How many questions it rests on.
    """

    name: str
    folder: Path
    verdict: str
    sentence: str
    prompts: int


def find_runs(folders: Sequence[Path]) -> list[TuneRun]:
    """Return the finished runs: of every folder that is one, and in those that hold some. The newest come first.

    Args:
        folders: A run's folder each, or a folder of runs.
    """
    paths = {path.resolve(): path for given in folders for path in (given, *_inside(given)) if _is_run(path)}
    newest = sorted(paths.values(), key=lambda path: (path / RESULT).stat().st_mtime, reverse=True)
    found: dict[str, TuneRun] = {}
    for path in newest:
        run = _read(path)
        name = next(name for name in _names(path.resolve().name) if name not in found)
        if run is not None:
            verdict, sentence, prompts = run
            found[name] = TuneRun(name, path, verdict, sentence, prompts)
    return list(found.values())


def require_runs(folders: Sequence[Path]) -> None:
    """Refuse a folder that the owner named and that holds no finished run.

    Raises:
        InputError: The folder holds no finished run.
    """
    for folder in folders:
        if not find_runs([folder]):
            raise InputError(f"--tune {folder}: there is no finished run of moa tune in it. Name a run's --out folder.")


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _is_run(folder: Path) -> bool:
    return (folder / RESULT).is_file() and (folder / REPORT).is_file()


def _names(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _read(folder: Path) -> tuple[str, str, int] | None:
    """Return verdict, sentence and prompts of a run; None for a file that is not a run's."""
    try:
        if (folder / RESULT).stat().st_size > _MOST_BYTES:
            return None
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        return str(found["verdict"]), str(found["sentence"]), int(found["n"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


@dataclass(frozen=True)
class TuneRoutes:
    """The handlers. They answer only under a loopback name, whatever else the server allows.

    Attributes:
        folders: A run's folder each, or a folder of runs. They are read at every request, so that a run appears when it
            ends.
    """

    folders: Sequence[Path]

    async def runs(self, request: Request) -> Response:
        """GET /moa/tune: the runs with their verdicts."""
        try:
            require_local(request)
            found = await asyncio.to_thread(find_runs, self.folders)
        except Exception as exc:
            return problem(exc).response()
        return _document(_listed(found))

    async def report(self, request: Request) -> Response:
        """GET /moa/tune/{name}: the report of one run, as `moa tune` wrote it."""
        try:
            require_local(request)
            name = request.path_params["name"]
            found = {run.name: run for run in await asyncio.to_thread(find_runs, self.folders)}
            if name not in found:
                raise Problem(404, f"There is no run of moa tune called {name!r} here.", code="run_not_found")
            text = await asyncio.to_thread((found[name].folder / REPORT).read_bytes)
        except Exception as exc:
            return problem(exc).response()
        return _document(text)


def _listed(runs: Sequence[TuneRun]) -> bytes:
    rows = [
        f'<dt><a href="tune/{quote(run.name, safe="")}">{html.escape(run.name)}</a>: {html.escape(run.verdict)}, '
        f"{run.prompts} questions</dt><dd>{html.escape(run.sentence)}</dd>"
        for run in runs
    ]
    body = f"<dl>{''.join(rows)}</dl>" if rows else "<p>None yet. <code>moa tune</code> writes them.</p>"
    title = "Runs of moa tune"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    back = '<p><a href="../moa">Back to the page</a></p>'
    main = f"<main><h1>{title}</h1>{body}{back}</main>"
    page = f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{main}</body></html>\n'
    return page.encode()


def _document(text: bytes) -> Response:
    headers = {
        "content-security-policy": _POLICY,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return Response(text, media_type="text/html", headers=headers)
