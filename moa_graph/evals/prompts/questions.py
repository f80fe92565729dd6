"""The user's own prompts: one JSON object per line, with a right answer, criteria for a judge, or neither.

{"id": "sum", "prompt": "What is 2 + 3?", "gold": "5", "match": "number"}
{"prompt": "Write a haiku about rain.", "criteria": "Three lines of 5, 7 and 5 syllables, about rain."}
{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of Peru?"}],
 "gold": ["Lima"], "tags": ["geography"]}

Rows of GSM8K (`answer` ends with "#### 72"), MATH-500 (`problem`, `answer`), MATH (the box in `solution`), SQuAD
(`answers`), MMLU and MMLU-Pro (`choices` or `options`, `answer`), ARC (`choices`, `answerKey`) and GPQA (`Correct
Answer`, `Incorrect Answer 1`) are accepted in their published formats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from moa_graph.errors import InputError
from moa_graph.evals.data.fields import QUESTION, brief, question
from moa_graph.evals.data.files import Row
from moa_graph.evals.prompts.grade import Match, are_numbers, check_gold
from moa_graph.evals.prompts.options import GOLD
from moa_graph.evals.prompts.published import OF_GPQA, as_prompts
from moa_graph.evals.systems.recorded import place_key

_ID = ("id", "question_id", "unique_id", "task_id")
_ROLES = ("system", "user", "assistant")
_ENDING = 'End with a line "Answer: X", where X is the letter of the right option.'


@dataclass(frozen=True)
class OwnPrompt:
    """One of the user's prompts.

    Attributes:
        id: Its name in results.
        turns: The conversation as (role, text) pairs; the last one is the user's.
        gold: Right answers, each of which is accepted; empty if there are none.
        match: How an answer is compared with them.
        criteria: A judge's criteria for this prompt; None for the run's criteria.
        tags: Its groups.
        options: The number of its options, for multiple choice; None without a list of them.
        confidential: Whether pages do not show its text and its answers, because its authors ask for that.
        placed: Whether its id is its place in the file, because its row has none.
    """

    id: str
    turns: tuple[tuple[str, str], ...]
    gold: tuple[str, ...] = ()
    match: Match = "final"
    criteria: str | None = None
    tags: tuple[str, ...] = ()
    options: int | None = None
    confidential: bool = False
    placed: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """What recorded outputs are joined by: the question before the id. A place fits rows without a question."""
        exact = (place_key(self.id, self.text), place_key(self.id), self.text)
        return exact if self.placed else (*exact, self.id)

    @property
    def text(self) -> str:
        """The last turn, for tables."""
        return self.turns[-1][1]

    @property
    def conversation(self) -> str:
        """All turns, for a judge."""
        return "\n\n".join(f"{role}: {text}" for role, text in self.turns) if len(self.turns) > 1 else self.text


def own_prompts(rows: Sequence[Row], source: str, *, match: Match | None = None) -> list[OwnPrompt]:
    """Read the user's prompts.

    Args:
        rows: The rows of the file.
        source: The file, for messages.
        match: How answers are compared if a row does not set `match`.

    Raises:
        InputError: A row has no prompt, a bad right answer, or a duplicate id; the message names it.
    """
    if not rows:
        raise InputError(f"{source} is empty: it needs one JSON object with a `prompt` per line")
    found: dict[str, OwnPrompt] = {}
    for number, row in enumerate(as_prompts([_row(row, n, source) for n, row in enumerate(rows, 1)], source), 1):
        made = _own_prompt(row, number, f"{source}, row {number}", match)
        if made.id in found:
            raise InputError(f"{source}, row {number}: the id {made.id!r} is used by an earlier row. Change it")
        found[made.id] = made
    return list(found.values())


def _row(row: Any, number: int, source: str) -> Row:
    """Return a row; a text alone is a prompt, and names of fields may be capitalized."""
    if isinstance(row, str):
        return {"prompt": row}
    if not isinstance(row, dict):
        raise InputError(f"{source}, row {number} is {brief(row)}; it must be an object with a `prompt`, or text")
    # Tables of pandas write null or NaN where a row lacks a field.
    made: Row = {str(name): value for name, value in row.items() if value is not None and value == value}
    if {*QUESTION, "messages", OF_GPQA} & made.keys():
        return made
    # A column of one letter is an option's.
    return {name if len(name) == 1 else name.lower(): value for name, value in made.items()}


def _own_prompt(row: Row, number: int, where: str, match: Match | None) -> OwnPrompt:
    options = row.get("options")
    lettered = options if isinstance(options, list) and 1 < len(options) <= 26 else []
    gold, numbers = _gold(row, where)
    kind = row.get("match", match or ("choice" if lettered else "number" if numbers else "final"))
    if kind not in get_args(Match):
        raise InputError(f"{where}: `match` is {kind!r}; it must be one of {', '.join(get_args(Match))}")
    check_gold(kind, gold, where, options=len(lettered) or None)
    criteria = row.get("criteria")
    if criteria is not None and not (isinstance(criteria, str) and criteria.strip()):
        raise InputError(f"{where}: `criteria` must be text")
    tags = row.get("tags", row.get("category", ()))
    tags = (tags,) if isinstance(tags, str) else tags
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise InputError(f"{where}: `tags` must be a list of strings")
    given = next((row[key] for key in _ID if row.get(key) is not None), None)
    name = number if given is None else given
    name = int(name) if isinstance(name, float) and name.is_integer() else name
    if isinstance(name, bool) or not isinstance(name, str | int) or not re.fullmatch(r"[^\s,]{1,120}", str(name)):
        raise InputError(f"{where}: `id` is {name!r}; it must be a number or text without blanks or commas")
    turns = _turns(row, where)
    if lettered:
        letters = "\n".join(f"{chr(65 + place)}. {option}" for place, option in enumerate(lettered))
        turns = (*turns[:-1], ("user", f"{turns[-1][1]}\n\n{letters}\n\n{_ENDING}"))
    confidential = row.get("confidential") is True
    count = len(lettered) or None
    return OwnPrompt(str(name), turns, gold, kind, criteria, tuple(tags), count, confidential, given is None)


def _turns(row: Row, where: str) -> tuple[tuple[str, str], ...]:
    text = question(row, "" if "messages" in row else where)
    if "messages" in row or isinstance(text, list):
        messages = row.get("messages", text)
        if not isinstance(messages, list) or not messages:
            raise InputError(f"{where}: `messages` must be a list of objects with `role` and `content`")
        turns = tuple(_turn(message, where) for message in messages)
        if turns[-1][0] != "user":
            raise InputError(f"{where}: the last of `messages` must have the role user")
        return turns
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where} has no text under {', '.join(QUESTION)}, and no `messages`")
    system = row.get("system")
    return (*((("system", system),) if isinstance(system, str) and system else ()), ("user", text))


def _turn(message: Any, where: str) -> tuple[str, str]:
    role, text = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
    if isinstance(text, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in text):
        text = "\n".join(str(part.get("text", "")) for part in text)
    if role not in _ROLES or not isinstance(text, str):
        raise InputError(f"{where}: a message needs a role ({', '.join(_ROLES)}) and text as content, not {message!r}")
    return role, text


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _gold(row: Row, where: str) -> tuple[tuple[str, ...], bool]:
    """Return the right answers, and whether the row has them as numbers."""
    value = next((row[name] for name in GOLD if name in row and not _blank(row[name])), None)
    if value is None:
        return (), False
    values = [each for each in value if not _blank(each)] if isinstance(value, list) else [value]
    if not values or any(isinstance(v, bool) or not isinstance(v, str | int | float) for v in values):
        raise InputError(f"{where}: the right answer must be text, a number, or a list of them, not {value!r}")
    # GSM8K's answers are a solution, and the number after "####".
    gold = tuple(str(v).rsplit("####", 1)[-1].strip() for v in values)
    return gold, are_numbers(gold) and all("####" in v for v in values if isinstance(v, str))
