"""How alike drafts are, each pair compared once: many candidates are made of the same drafts."""

from __future__ import annotations

from collections.abc import Sequence

from moa_graph.graph.agreement import Agreement, similarity, words

__all__ = ["Likeness"]

Place = tuple[int, int]
"""A model and the number of its draft."""


class Likeness:
    """The similarities of the drafts of every prompt.

    Args:
        texts: The drafts' texts by model, prompt and number; empty where one is missing.
    """

    def __init__(self, texts: Sequence[Sequence[Sequence[str]]]) -> None:
        self._texts = texts
        self._words: dict[tuple[int, Place], frozenset[str]] = {}
        self._pairs: dict[tuple[int, Place, Place], float] = {}

    def medoid(self, prompt: int, drafts: Sequence[Place]) -> int:
        """Return the place of the medoid among some drafts of a prompt, as `compare` finds it; 0 without any text."""
        texts = [self._text(prompt, draft) for draft in drafts]
        there = [place for place, text in enumerate(texts) if text]
        if len(there) < 2:
            return there[0] if there else 0
        sums = [0.0] * len(there)
        for i in range(len(there)):
            for j in range(i):
                alike = self._pair(prompt, drafts[there[i]], drafts[there[j]])
                sums[i] += alike
                sums[j] += alike
        means = [each / (len(there) - 1) for each in sums]
        return there[Agreement(None, means, [len(texts[place]) for place in there]).medoid or 0]

    def _text(self, prompt: int, draft: Place) -> str:
        drafts = self._texts[draft[0]][prompt]
        return drafts[draft[1]] if draft[1] < len(drafts) else ""

    def _pair(self, prompt: int, one: Place, two: Place) -> float:
        place = (prompt, min(one, two), max(one, two))
        found = self._pairs.get(place)
        if found is None:
            found = self._pairs[place] = similarity(self._found(prompt, one), self._found(prompt, two))
        return found

    def _found(self, prompt: int, draft: Place) -> frozenset[str]:
        place = (prompt, draft)
        if place not in self._words:
            self._words[place] = words(self._text(prompt, draft))
        return self._words[place]
