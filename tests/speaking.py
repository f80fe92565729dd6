"""A chat model of this process that streams word by word: how many pieces come does not depend on any clock."""

from itertools import repeat

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage


def speaking(text: str) -> GenericFakeChatModel:
    """Says `text` whenever it is asked; a stream has a piece for every word and every space."""
    return GenericFakeChatModel(messages=(AIMessage(each) for each in repeat(text)))
