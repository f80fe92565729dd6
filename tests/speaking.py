"""An in-process chat model that streams word by word, so that the number of pieces does not depend on a clock."""

from itertools import repeat

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage


def speaking(text: str) -> GenericFakeChatModel:
    """Answers every request with `text`. A stream has one piece per word and per space."""
    return GenericFakeChatModel(messages=(AIMessage(each) for each in repeat(text)))
