"""AlpacaEval 2's weighted judge: its prompt, and how its one-token verdict is read.

The template is downloaded, not bundled. The answers are called "m" (shown first) and "M". The preference is the
probability of one of the two tokens as a share of both.
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
# Parameters of the published judge. The sampled token is not used, so the temperature does not matter.
PARAMETERS = {"temperature": 1.0, "max_tokens": 1, "logprobs": True, "top_logprobs": 5}
# A judge without log probabilities answers in words, which need more tokens.
TEXT_PARAMETERS = {"temperature": 0.0, "max_tokens": 8}
# For judges that refuse log probabilities, such as reasoning models: they reason before the word, and most accept only
# their default temperature.
REFUSED_PARAMETERS = ({"temperature": 0.0, "max_tokens": 2048}, {"temperature": 1.0, "max_tokens": 2048})
# The embedded model gives no log probabilities and is too small to follow the form; a grammar allows only the two
# words.
EMBEDDED_PARAMETERS = {**TEXT_PARAMETERS, "grammar": f'root ::= "{FIRST}" | "{SECOND}"'}
_SPACES = " \n\u2581\u0120"
"""What may stand before a word in a token, as text or as tokenizers write a space."""
_BLOCK = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", re.DOTALL)
_FIELD = re.compile(r"\{(instruction|output_1|output_2)\}")


def switched(instruction: str, seed: int = 0) -> bool:
    """Return whether the model's answer is shown first. As published, it depends on instruction and seed only."""
    name = "is_switched_outputs" + instruction + str(seed)
    return random.Random(name).choices([False, True], k=1)[0]


def messages(template: str, *, instruction: str, first: str, second: str) -> list[tuple[str, str]]:
    """Return the template as (role, text) pairs. Fields are filled in one pass, so a field name in an answer stays
    text.

    Raises:
        InputError: The template has no chat blocks or lacks a field.
    """
    blocks = _BLOCK.findall(template)
    if not blocks or set(_FIELD.findall(template)) != {"instruction", "output_1", "output_2"}:
        raise InputError("the judge template needs <|im_start|> blocks and {instruction}, {output_1}, {output_2}")
    values = {"instruction": instruction, "output_1": first, "output_2": second}
    return [(role, _FIELD.sub(lambda field: values[field[1]], text.strip())) for role, text in blocks]


def first_share(top: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the probability of "m" relative to "m" and "M" in top_logprobs; None if neither is in it."""
    # A token that cannot occur under a grammar has the log probability null or -inf.
    found = {str(entry["token"]): logprob(entry) for entry in top}
    if not found.keys() & {FIRST, SECOND}:
        # The first token of some local models has a space before the word.
        found = {token.strip(_SPACES): value for token, value in found.items()}
    first, second = found.get(FIRST, -math.inf), found.get(SECOND, -math.inf)
    highest = max(first, second)
    if highest == -math.inf:
        return None
    return math.exp(first - highest) / (math.exp(first - highest) + math.exp(second - highest))


def logprob(entry: Mapping[str, Any]) -> float:
    """Return the log probability of an alternative; -inf if it is null, NaN or not a number."""
    value = entry.get("logprob")
    known = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return float(value) if known and value is not None else -math.inf


def top_logprobs(completion: Any) -> list[Row]:
    """Return the first token's top_logprobs of a completion or a LangChain response_metadata; [] if there are none."""
    try:
        found = completion["logprobs"]["content"][0]["top_logprobs"]
        return [entry for entry in found if isinstance(entry, dict)]
    except (KeyError, IndexError, TypeError):
        return []


def text_share(text: str) -> float | None:
    """Return 1 for "m" and 0 for "M", quotes and dots removed; None for anything else."""
    word = text.strip().strip("\"'`.*").strip()
    return {FIRST: 1.0, SECOND: 0.0}.get(word)


def preference(share: float | None, *, switched: bool) -> float | None:
    """Return the preference, 1 (the reference) to 2 (the model), from the share of the answer shown first."""
    if share is None:
        return None
    return 1 + share if switched else 2 - share
