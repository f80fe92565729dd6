"""How different the drafts of a prompt are, and how much text the answer copies from them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import combinations

import numpy as np

from moa_graph.mixture import answers

_WORDS = 400
"""Words compared per text; the comparison takes quadratic time."""


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """Return the word n-grams of a text, without regard to case."""
    words = text.lower().split()
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def distinct(texts: Sequence[str], n: int) -> float | None:
    """Return distinct-n: different n-grams over all n-grams of the texts; None when there are none."""
    found = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(found)) / len(found) if found else None


def agreement(texts: Sequence[str], key: Callable[[str], str | None] = answers.key) -> float | None:
    """Return the share of pairs with the same final answer, read by `key`; None below two texts."""
    said = list(map(key, texts))
    pairs = list(combinations(said, 2))
    return sum(a is not None and a == b for a, b in pairs) / len(pairs) if pairs else None


def similarity(a: str, b: str) -> float:
    """Return the cosine of two texts' counts of words and word pairs, 0 to 1."""
    left, right = (Counter([*ngrams(text, 1), *ngrams(text, 2)]) for text in (a, b))
    norm = math.sqrt(sum(v * v for v in left.values()) * sum(v * v for v in right.values()))
    return sum(count * right[gram] for gram, count in left.items()) / norm if norm else float(a == b)


def vendi(texts: Sequence[str]) -> float | None:
    """Return the Vendi score: the effective number of different texts, from 1 (all alike) to their number.

    It is the exponential of the entropy of the eigenvalues of the matrix of similarities, divided by the number of
    texts.
    """
    if not texts:
        return None
    matrix = np.array([[1.0 if a is b else similarity(a, b) for b in texts] for a in texts])
    values = np.linalg.eigvalsh(matrix / len(texts))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def copied(answer: str, draft: str, n: int = 4) -> float | None:
    """Return the share of the answer's word n-grams that occur in the draft; None if the answer has no n-grams."""
    grams = ngrams(answer, n)
    own = set(ngrams(draft, n))
    return sum(gram in own for gram in grams) / len(grams) if grams else None


def edit_similarity(answer: str, draft: str) -> float:
    """Return the similarity of two texts word by word, 0 to 1. Only the beginning of long texts is compared."""
    left, right = (text.lower().split()[:_WORDS] for text in (answer, draft))
    return SequenceMatcher(None, left, right, autojunk=False).ratio()
