"""A run, or a conversation of several, as one HTML file that needs no server and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.serve.page.document import report_page


def html(run: Mapping[str, Any]) -> str:
    """Return the report of a run, rendered by the page's own script.

    Args:
        run: `question`, `answer`, `drafts` (Draft dicts), `notes` (Note dicts) and `record` (a Record; None with an
            `error` if the run failed); or `turns`, a list of such mappings. The output of a graph is accepted as well,
            with `messages` instead of question and answer.
    """
    turns = run["turns"] if isinstance(run.get("turns"), Sequence) else [run]
    return report_page({"version": 1, "turns": [_turn(turn) for turn in turns]})


def _turn(run: Mapping[str, Any]) -> dict[str, Any]:
    said = _said(run.get("messages") or [])
    return {
        "question": str(run.get("question") or said.get("human", "")),
        "answer": str(run.get("answer") or said.get("ai", "")),
        "drafts": list(run.get("drafts") or []),
        "notes": list(run.get("notes") or []),
        "record": run.get("record"),
        "error": run.get("error"),
        "created": run.get("created"),
    }


def _said(messages: Sequence[Any]) -> dict[str, str]:
    """Return the last text of each kind of message (LangChain messages or dicts)."""
    last: dict[str, str] = {}
    for message in messages:
        if isinstance(message, Mapping):
            kind = str(message.get("type") or message.get("role"))
            last[{"user": "human", "assistant": "ai"}.get(kind, kind)] = str(message.get("content"))
        else:
            last[message.type] = str(message.text)
    return last
