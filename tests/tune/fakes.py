"""Models in this process that answer sums, right at a given rate, and count their calls."""

import hashlib
import re
from collections import Counter
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

CALLS: Counter[str] = Counter()
"""Calls by model."""


def prompts(many: int) -> list[dict[str, Any]]:
    """Sums with their right answers."""
    return [{"id": f"q{n}", "prompt": f"What is {n} + {n + 1}?", "gold": str(2 * n + 1)} for n in range(many)]


class Sums(BaseChatModel):
    """Answers "What is A + B?". Wrong drafts are off by 1 to 4.

    Attributes:
        model: The name; it decides, with the question and the number of the call, which drafts are wrong.
        right: Share of right drafts.
        writes: The share of right answers when it is shown drafts; it copies the first draft by default.
    """

    model: str
    right: float
    writes: float | None = None
    counts: dict[str, int] = Field(default_factory=dict, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "sums"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "right": self.right, "writes": self.writes}

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        text = str(messages[-1].content)
        found = re.search(r"What is (\d+) \+ (\d+)\?", "\n".join(str(each.content) for each in messages))
        assert found is not None
        total = int(found[1]) + int(found[2])
        CALLS[self.model] += 1
        number = self.counts[found[0]] = self.counts.get(found[0], -1) + 1
        if "begins:" in text and "scores" in text:
            said = '{"scores": {"1": 9, "2": 1, "3": 1}}'
        elif "begins:" in text and self.writes is None:
            said = re.findall(r"begins: [0-9a-f]{16}\]\n(.*?)\n\[draft", text, re.S)[0]
        else:
            share = self.right if "begins:" not in text else float(self.writes or 0)
            said = f"The answer is {total if self._luck(found[0], number) < share else total + 1 + number % 4}."
        usage: Any = {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said, usage_metadata=usage))])

    def _luck(self, question: str, number: int) -> float:
        digest = hashlib.sha256(f"{self.model}|{question}|{number}".encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32
