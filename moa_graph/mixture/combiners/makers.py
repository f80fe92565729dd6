"""Which maker a model comes from, as far as its name shows."""

from __future__ import annotations

from functools import lru_cache

from moa_graph.mixture.proposer import Proposer

__all__ = ["maker"]

_FAMILIES = {
    "gpt": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude": "anthropic",
    "gemini": "google",
    "gemma": "google",
    "mixtral": "mistralai",
    "ministral": "mistralai",
    "mistral": "mistralai",
    "qwq": "qwen",
    "meta": "llama",
}


def maker(spec: Proposer) -> str:
    """Return who made a model, as far as its name shows: the part before "/", else the beginning of the name."""
    return _maker(spec.label)


@lru_cache(1024)
def _maker(label: str) -> str:
    _, _, name = label.partition(":")
    owner, slash, rest = name.rpartition("/")
    word = (owner if slash else name).rsplit("/", 1)[-1].lower()
    for family in (word, (rest if slash else name).lower()):
        head = "".join(c for c in family.split("-")[0].split(".")[0] if c.isalpha() or c in "134")
        for known, who in _FAMILIES.items():
            if head.startswith(known):
                return who
    return word if slash else "".join(c for c in word.split("-")[0] if c.isalpha()) or word
