"""AlpacaEval 2's weighted judge: what it is shown and how its one token is read.

The template is loaded, never shipped. Two answers are called "m" (shown first) and "M"; the judge's
preference is the share of probability on its first token.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from moa_graph.errors import InputError
from moa_graph.evals.data.files import Row

FIRST, SECOND = "m", "M"
# What the published judge sends: the token itself is never used, so the temperature does not matter.
PARAMETERS = {"temperature": 1.0, "max_tokens": 1, "logprobs": True, "top_logprobs": 5}
# A judge without logprobs answers in words; it needs room for one.
TEXT_PARAMETERS = {"temperature": 0.0, "max_tokens": 8}
# For one that refuses log probabilities, as reasoning models do: they think before the word, and most take no other
# temperature than their own.
REFUSED_PARAMETERS = ({"temperature": 0.0, "max_tokens": 2048}, {"temperature": 1.0, "max_tokens": 2048})
# The embedded model gives no logprobs and is too small to obey; a grammar leaves it only the two words.
EMBEDDED_PARAMETERS = {**TEXT_PARAMETERS, "grammar": f'root ::= "{FIRST}" | "{SECOND}"'}
_BLOCK = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
_FIELD = re.compile(r"\{(instruction|output_1|output_2)\}")


def switched(instruction: str, seed: int = 0) -> bool:
    """Whether the model's answer is shown first. It depends on instruction and seed only, as published."""
    name = "is_switched_outputs" + instruction + str(seed)
    return random.Random(name).choices([False, True], k=1)[0]


def messages(template: str, *, instruction: str, first: str, second: str) -> list[tuple[str, str]]:
    """(role, text) pairs of the template, filled in one pass: a field name inside an answer stays text.

    Raises InputError when the template has no chat blocks or lacks a field.
    """
    blocks = _BLOCK.findall(template)
    if not blocks or set(_FIELD.findall(template)) != {"instruction", "output_1", "output_2"}:
        raise InputError("the judge template needs <|im_start|> blocks and {instruction}, {output_1}, {output_2}")
    values = {"instruction": instruction, "output_1": first, "output_2": second}
    return [(role, _FIELD.sub(lambda field: values[field[1]], text.strip())) for role, text in blocks]


def first_share(top: Sequence[Mapping[str, Any]]) -> float | None:
    """Probability of "m" among "m" and "M" in the first token's top_logprobs; None when neither is there."""
    found = {str(entry["token"]): float(entry["logprob"]) for entry in top}
    first, second = found.get(FIRST, -math.inf), found.get(SECOND, -math.inf)
    highest = max(first, second)
    if highest == -math.inf:
        return None
    return math.exp(first - highest) / (math.exp(first - highest) + math.exp(second - highest))


def top_logprobs(completion: Any) -> list[Row]:
    """The first token's top_logprobs in a completion or a LangChain response_metadata; [] without any."""
    try:
        return list(completion["logprobs"]["content"][0]["top_logprobs"])
    except (KeyError, IndexError, TypeError):
        return []


def text_share(text: str) -> float | None:
    """1 or 0 when the answer, without quotes and dots, is "m" or "M"; None when it is anything else."""
    word = text.strip().strip("\"'`.*").strip()
    return {FIRST: 1.0, SECOND: 0.0}.get(word)


def preference(share: float | None, *, switched: bool) -> float | None:
    """1 (the reference) to 2 (the model) from the share of the answer shown first."""
    if share is None:
        return None
    return 1 + share if switched else 2 - share
