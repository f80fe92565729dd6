"""What can be said in `moa chat` beside questions: /commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from moa_graph.cli.drafts import as_text, heading, plain, text_of
from moa_graph.errors import InputError

if TYPE_CHECKING:
    from moa_graph.cli.conversation import Conversation

_COMMAND = re.compile(r"/([a-z]+!?)(?:\s+(.*))?", re.DOTALL)


class Command(NamedTuple):
    """A command: what stands after its name, what it does, and how."""

    arguments: str
    help: str
    run: Callable[[Conversation, str], str | None]


def parse(line: str) -> tuple[str, str] | None:
    """Return a command's name and its argument, or None for a question. "//x" is the question "/x"."""
    found = _COMMAND.fullmatch(line.strip())
    return (found[1], (found[2] or "").strip()) if found else None


def run(talk: Conversation, name: str, argument: str) -> str | None:
    """Run a command; return what it says.

    Raises:
        EOFError: the chat ends.
        InputError: the command is unknown, or its argument is wrong.
    """
    if name in ("quit", "exit"):
        raise EOFError
    if name == "help":
        return usage()
    if name not in COMMANDS:
        raise InputError(f"no command /{name}; /help lists them. To ask it, begin with two slashes.")
    return COMMANDS[name].run(talk, argument)


def usage() -> str:
    """Return what /help shows."""
    rows = [(f"/{name} {command.arguments}".rstrip(), command.help) for name, command in COMMANDS.items()]
    rows += [("/quit", "End the chat; so does Ctrl-D.")]
    width = max(len(row[0]) for row in rows) + 2
    lines = [f"{left:<{width}}{right}" for left, right in rows]
    keys = (
        'Enter sends. Alt-Enter or a \\ at the end of the line begins a new line; so do all lines between """ and """.'
    )
    return "\n".join([*lines, keys, "Ctrl-C clears the line, or stops an answer and keeps its drafts."])


def _preset(talk: Conversation, name: str) -> str:
    if name:
        talk.use(_unquoted(name))
    return talk.about()


def _models(talk: Conversation, _: str) -> str:
    lines = []
    for number, names in enumerate(talk.mixture.plan[1], start=1):
        specs = {node.name: node.spec for node in talk.mixture.plan[0]}
        lines += [f"round {number}: {name} ({specs[name].label})" for name in names]
    aggregator = talk.mixture.aggregator.label
    return "\n".join([talk.about(), *lines, f"aggregator: {aggregator}"])


def _layers(talk: Conversation, number: str) -> str:
    try:
        wanted = int(number) if number else None
    except ValueError as exc:
        raise InputError("/layers takes a whole number.") from exc
    talk.change(layers=wanted)
    return f"layers: {talk.wanted.layers or talk.mixture.total_layers}"


def _system(talk: Conversation, text: str) -> str:
    talk.change(system=text or None)
    return "system prompt set" if text else "system prompt as the mixture says"


def _drafts(talk: Conversation, number: str) -> str:
    if not talk.drafts:
        return "there are no drafts yet"
    if not number:
        return as_text(talk.drafts)
    try:
        draft = talk.drafts[int(number) - 1]
        if int(number) < 1:
            raise IndexError
    except (ValueError, IndexError) as exc:
        raise InputError(f"/drafts takes a number from 1 to {len(talk.drafts)}.") from exc
    return f"{heading(draft, talk.drafts)}\n{text_of(draft)}"


def _show(talk: Conversation, _: str) -> str:
    lines = [f"{'You' if turn['role'] == 'user' else 'Answer'}: {plain(turn['content'])}" for turn in talk.messages]
    return "\n\n".join(lines) or "nothing was asked yet"


def _retry(talk: Conversation, _: str) -> None:
    if talk.question is None:
        raise InputError("nothing was asked yet.")
    question, asked = talk.question, [turn["content"] for turn in talk.messages if turn["role"] == "user"]
    if asked and asked[-1] == question:
        talk.undo()
    talk.ask(question)


def _undo(talk: Conversation, _: str) -> str:
    question = talk.undo()
    return "nothing to undo" if question is None else f"forgotten: {plain(question)[:200]}"


def _cost(talk: Conversation, _: str) -> str:
    from moa_graph.costs.amounts import in_dollars

    known = sum(cost for cost in talk.costs if cost is not None)
    unknown = sum(cost is None for cost in talk.costs)
    asked = f"{len(talk.costs)} question{'' if len(talk.costs) == 1 else 's'} asked"
    more = f", and {unknown} at unknown cost" if unknown else ""
    return f"{asked}: {in_dollars(known) if known else 'free' if not unknown else '$0'}{more}"


def _save(talk: Conversation, name: str, *, replace: bool = False) -> str:
    if not name:
        raise InputError("/save FILE")
    path = _file(name)
    if path.exists() and not replace and path != talk.file:
        raise InputError(f"{path} is there already; /save! {name} overwrites it.")
    talk.save(path)
    return f"{len(talk.messages)} messages are in {path}"


def _load(talk: Conversation, name: str) -> str:
    talk.load(_file(name))
    return f"{len(talk.messages)} messages loaded"


def _clear(talk: Conversation, _: str) -> str:
    talk.messages, talk.drafts, talk.question = [], [], None
    talk.id = talk.log.last_conversation(continued=False).id
    return "a new conversation begins"


def _copy(talk: Conversation, _: str) -> str:
    """Copy with OSC 52, which terminals pass on to the clipboard, also over ssh."""
    import base64

    if not talk.messages:
        raise InputError("there is no answer yet.")
    if not sys.stderr.isatty():
        raise InputError("/copy needs a terminal.")
    data = base64.b64encode(talk.messages[-1]["content"].encode("utf-8", "replace")).decode()
    sys.stderr.write(f"\x1b]52;c;{data}\x07")
    return "the answer was handed to the terminal's clipboard"


def _unquoted(text: str) -> str:
    """Return a file's name without quotes around it; it may hold one, as Ann's.json does."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _file(name: str) -> Path:
    try:
        return Path(_unquoted(name)).expanduser()
    except RuntimeError as exc:
        raise InputError(f"{name}: {exc}") from exc  # ~somebody, whom this computer does not know


COMMANDS: dict[str, Command] = {
    "retry": Command("", "Ask the last question again.", _retry),
    "undo": Command("", "Forget the last question and its answer.", _undo),
    "drafts": Command("[NUMBER]", "Show the drafts of the last question, or one of them.", _drafts),
    "show": Command("", "Show the conversation.", _show),
    "copy": Command("", "Copy the last answer.", _copy),
    "preset": Command(
        "[NAME]", "Go on with another mixture: a preset or a file; without one say which it is.", _preset
    ),
    "models": Command("", "Show the models of the mixture.", _models),
    "layers": Command("[NUMBER]", "Change the layers; without a number as the mixture says.", _layers),
    "system": Command("[TEXT]", "Change the system prompt; without one as the mixture says.", _system),
    "cost": Command("", "Show what this chat has cost.", _cost),
    "save": Command("FILE", "Write the chat: .md to read, else to go on with later.", _save),
    "save!": Command("FILE", "The same, over a file that exists.", lambda talk, name: _save(talk, name, replace=True)),
    "load": Command("FILE", "Go on with a chat that /save wrote.", _load),
    "clear": Command("", "Begin a new conversation.", _clear),
}
