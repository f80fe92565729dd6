"""The similarity of drafts, and the draft that is most similar to the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Agreement", "compare", "similarity", "words"]

_WORD = re.compile(r"\w+")
_SLICE = 50_000
"""Characters that are searched at once, in 5 ms. Other threads, and with them the event loop, wait meanwhile."""
_CLOSE = 1e-9
"""Similarities that differ by less are equal: sums of the same numbers differ by rounding."""


class Agreement(NamedTuple):
    """The similarity of some texts.

    Attributes:
        mean: The mean similarity of all pairs, from 0 to 1; None below two texts.
        each: For every text, its mean similarity to the others; 1 for a single text.
        sizes: The texts' lengths in characters.
    """

    mean: float | None
    each: list[float]
    sizes: list[int]

    @property
    def medoid(self) -> int | None:
        """The place of the text most alike to the others; None without texts.

        Of equally alike ones, such as any two texts, it is the longest.
        """
        return self.longest(range(len(self.each)))

    def best(self, places: Sequence[int]) -> int | None:
        """Return the one of `places` whose text is most alike to all others, the first of equally alike ones."""
        return min(self._top(places), default=None)

    def longest(self, places: Sequence[int]) -> int | None:
        """Return the one of `places` whose text is most alike to all others, the longest of equally alike ones."""
        return max(self._top(places), key=lambda place: (self.sizes[place], -place), default=None)

    def _top(self, places: Sequence[int]) -> list[int]:
        top = max((self.each[place] for place in places), default=0.0)
        return [place for place in places if self.each[place] >= top - _CLOSE]


def words(text: str) -> frozenset[str]:
    r"""Return the set of lower-cased `\w+` words of a text."""
    lower, at, found = text.lower(), 0, set[str]()
    while at < len(lower):
        cut = _WORD.match(lower, at + _SLICE)
        end = cut.end() if cut else at + _SLICE
        found.update(_WORD.findall(lower, at, end))
        at = end
    return frozenset(found)


def similarity(left: frozenset[str], right: frozenset[str]) -> float:
    """Return the Jaccard similarity of two sets of words.

    Two texts without any word are equal, and nothing else is similar to them.
    """
    union = len(left | right)
    return len(left & right) / union if union else 1.0


def compare(texts: Sequence[str]) -> Agreement:
    """Compare texts pair by pair by their `similarity`."""
    found = [words(text) for text in texts]
    many, sizes = len(found), [len(text) for text in texts]
    if many < 2:
        return Agreement(None, [1.0] * many, sizes)
    sums = [0.0] * many
    for i in range(many):
        for j in range(i):
            alike = similarity(found[i], found[j])
            sums[i] += alike
            sums[j] += alike
    return Agreement(sum(sums) / (many * (many - 1)), [each / (many - 1) for each in sums], sizes)
