"""The /commands of `moa chat`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from moa_graph.cli.output.drafts import as_text, heading, text_of
from moa_graph.costs.amounts import in_dollars, number_of
from moa_graph.errors import InputError
from moa_graph.models.terminal_text import for_terminal

if TYPE_CHECKING:
    from moa_graph.cli.conversation import Conversation

_COMMAND = re.compile(r"/([A-Za-z]*!?)(?:\s+(.*))?", re.DOTALL)


class ChatCommand(NamedTuple):
    """A command: the arguments after its name, its help, and its function."""

    arguments: str
    help: str
    run: Callable[[Conversation, str], str | None]


def parse(line: str) -> tuple[str, str] | None:
    """Return a command's name and its argument, or None for a question. "//x" is the question "/x"."""
    found = _COMMAND.fullmatch(line.strip())
    return (found[1].lower(), (found[2] or "").strip()) if found else None


def run(talk: Conversation, name: str, argument: str) -> str | None:
    """Run a command and return its output.

    Raises:
        EOFError: The chat ends.
        InputError: The command is unknown, or its argument is wrong.
    """
    if name in ("quit", "exit"):
        raise EOFError
    if name == "help":
        return usage()
    if name not in COMMANDS:
        raise InputError(f"no command /{name}; /help lists them. To ask it as a question, start with two slashes.")
    return COMMANDS[name].run(talk, argument)


def usage() -> str:
    """Return the text of /help."""
    rows = [(f"/{name} {command.arguments}".rstrip(), command.help) for name, command in COMMANDS.items()]
    rows += [("/quit", "End the chat; so does Ctrl-D.")]
    width = max(len(row[0]) for row in rows) + 2
    lines = [f"{left:<{width}}{right}" for left, right in rows]
    keys = (
        'Enter sends. Alt-Enter, or a \\ at the end of the line, starts a new line; so does Enter between """ and """.'
    )
    return "\n".join([*lines, keys, "Ctrl-C clears the line, or stops an answer and keeps its drafts."])


def _preset(talk: Conversation, name: str) -> str:
    if name:
        talk.use(_unquoted(name))
    return talk.about()


def _models(talk: Conversation, _: str) -> str:
    lines, specs = list[str](), talk.mixture.plan.specs
    for number, names in enumerate(talk.mixture.plan.rounds, start=1):
        lines += [f"round {number}: {name} ({specs[name].label})" for name in names]
    aggregator = talk.mixture.aggregator.label
    return "\n".join([talk.about(), *lines, f"aggregator: {aggregator}"])


def _layers(talk: Conversation, number: str) -> str:
    try:
        wanted = int(number) if number else None
    except ValueError as exc:
        raise InputError("/layers needs an integer.") from exc
    talk.change(layers=wanted)
    return f"layers: {talk.wanted.layers or talk.mixture.total_layers}"


def _system(talk: Conversation, text: str) -> str:
    talk.change(system=text or None)
    return "system prompt set" if text else "system prompt of the mixture restored"


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
        raise InputError(f"/drafts needs a number from 1 to {len(talk.drafts)}.") from exc
    return f"{heading(draft, talk.drafts)}\n{text_of(draft)}"


def _show(talk: Conversation, _: str) -> str:
    lines = [
        f"{'You' if turn['role'] == 'user' else 'Answer'}: {for_terminal(turn['content'])}" for turn in talk.messages
    ]
    return "\n\n".join(lines) or "no question has been asked yet"


def _retry(talk: Conversation, _: str) -> None:
    if talk.question is None:
        raise InputError("no question has been asked yet.")
    talk.retry(talk.question)


def _undo(talk: Conversation, _: str) -> str:
    question = talk.undo()
    return "nothing to undo" if question is None else f"removed: {for_terminal(question)[:200]}"


def _cost(talk: Conversation, _: str) -> str:
    known = sum(cost for cost in talk.costs if cost is not None)
    unknown = sum(cost is None for cost in talk.costs)
    asked = f"{number_of(len(talk.costs), 'question')} asked"
    if unknown and not known:
        return f"{asked}: cost unknown"
    more = f", {unknown} of them at unknown cost" if unknown else ""
    return f"{asked}: {in_dollars(known) if known else 'free'}{more}"


def _save(talk: Conversation, name: str, *, replace: bool = False) -> str:
    if not name:
        raise InputError("/save FILE")
    path = _file(name)
    if path.exists() and not replace and path != talk.file:
        raise InputError(f"{path} already exists; /save! {name} overwrites it.")
    talk.save(path)
    return f"{number_of(len(talk.messages), 'message')} saved to {path}"


def _load(talk: Conversation, name: str) -> str:
    talk.load(_file(name))
    return f"{number_of(len(talk.messages), 'message')} loaded"


def _clear(talk: Conversation, _: str) -> str:
    talk.messages, talk.drafts, talk.question = [], [], None
    talk.id = talk.log.last_conversation(continued=False).id
    return "new conversation started"


def _copy(talk: Conversation, _: str) -> str:
    """Copy with OSC 52. Terminals pass it on to the clipboard, also over ssh."""
    import base64

    if not talk.messages:
        raise InputError("there is no answer yet.")
    if not sys.stderr.isatty():
        raise InputError("/copy needs a terminal.")
    data = base64.b64encode(talk.messages[-1]["content"].encode("utf-8", "replace")).decode()
    sys.stderr.write(f"\x1b]52;c;{data}\x07")
    return "the answer was sent to the terminal's clipboard"


def _unquoted(text: str) -> str:
    """Return a file's name without surrounding quotes. The name may contain one, as in Ann's.json."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _file(name: str) -> Path:
    try:
        return Path(_unquoted(name)).expanduser()
    except RuntimeError as exc:
        raise InputError(f"{name}: {exc}") from exc  # `~name` of an unknown user


COMMANDS: dict[str, ChatCommand] = {
    "retry": ChatCommand("", "Ask the last question again.", _retry),
    "undo": ChatCommand("", "Remove the last question and its answer.", _undo),
    "drafts": ChatCommand("[NUMBER]", "Show the drafts of the last question, or one of them.", _drafts),
    "show": ChatCommand("", "Show the conversation.", _show),
    "copy": ChatCommand("", "Copy the last answer.", _copy),
    "preset": ChatCommand(
        "[NAME]", "Switch to another mixture (a preset or a file), or show the current one.", _preset
    ),
    "models": ChatCommand("", "Show the models of the mixture.", _models),
    "layers": ChatCommand("[NUMBER]", "Set the number of layers, or restore the mixture's.", _layers),
    "system": ChatCommand("[TEXT]", "Set the system prompt, or restore the mixture's.", _system),
    "cost": ChatCommand("", "Show the cost of this chat.", _cost),
    "save": ChatCommand("FILE", "Save the chat: .md to read it, any other ending to load it again.", _save),
    "save!": ChatCommand(
        "FILE", "Save, and overwrite an existing file.", lambda talk, name: _save(talk, name, replace=True)
    ),
    "load": ChatCommand("FILE", "Continue a chat that was saved with /save.", _load),
    "clear": ChatCommand("", "Start a new conversation.", _clear),
}
