"""The family of a model. A judge tends to prefer answers of its own family."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FAMILIES = {
    "OpenAI": r"gpt|chatgpt|davinci|\bo[1-9]\b|o[1-9]-",
    "Claude": r"claude",
    "Gemini": r"gemini|gemma|palm|bison",
    "Llama": r"llama|vicuna|alpaca|wizardlm-(?:7|13|30|70)b",
    "Qwen": r"qwen|qwq",
    "Mistral": r"mistral|mixtral|ministral|magistral|wizardlm-2",
    "DeepSeek": r"deepseek",
    "Grok": r"grok",
    "GLM": r"\bglm|chatglm",
    "Kimi": r"kimi|moonshot",
    "DBRX": r"dbrx",
    "SmolLM": r"smollm",
    "Phi": r"\bphi-?\d",
}


def family(model: str) -> str | None:
    """Return the family of a model's name; None if unknown. The provider alone does not determine it."""
    name = model.partition(":")[2].lower() or model.lower()
    return next((label for label, pattern in _FAMILIES.items() if re.search(pattern, name)), None)


def warning(judge: str, models: Iterable[str]) -> str | None:
    """Return a warning for the report if the judge and any judged model are of one family."""
    own = family(judge)
    kin = sorted({model for model in models if model == judge or (own and family(model) == own)})
    if not kin:
        return None
    return (
        f"The judge {judge} and {', '.join(kin)} are of one family"
        + (f" ({own})" if own else "")
        + ": its verdicts may favour its own family. Check with a judge of another family."
    )
