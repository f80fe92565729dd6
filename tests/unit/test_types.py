"""The keyword arguments that editors complete are exactly the models' fields, with the same types."""

import inspect
from typing import Any

import pytest
from pydantic import BaseModel

from moa_graph import ChatMoA, ConfigError, Mixture, MoAContext, Proposer, create_moa
from moa_graph.mixture import fields

# Fields whose arguments may be written in more ways than the validated value shows.
WIDER = {"proposers", "sees", "combine", "combiners", "rounds", "aggregator", "fallbacks", "prices", "model"}

# Set by LangChain's own code, not by callers, or different between its versions.
NOT_OURS = {"custom_get_token_ids", "profile", "mixture"}


def hint(typed: Any, name: str) -> Any:
    """The type of one field. A class of fields that inherits has fields whose types only a type checker imports."""
    written = typed.__annotations__[name]
    return eval(getattr(written, "__forward_arg__", written), vars(fields))


@pytest.mark.parametrize(
    ("typed", "model"),
    [
        (fields.MixtureFields, Mixture),
        (fields.ProposerFields, Proposer),
        (fields.ContextFields, MoAContext),
    ],
    ids=lambda each: each.__name__,
)
def test_the_keyword_arguments_are_the_fields(typed: Any, model: type[BaseModel]) -> None:
    assert typed.__optional_keys__ == set(model.model_fields)
    for name, field in model.model_fields.items():
        if name not in WIDER:
            assert hint(typed, name) == field.annotation, f"{typed.__name__}.{name}"


def test_the_graph_takes_every_field_of_a_mixture_but_its_name() -> None:
    # `name` is the graph's own argument.
    assert fields.GraphFields.__optional_keys__ == set(Mixture.model_fields) - {"name"}


def test_the_chat_model_takes_the_fields_of_a_mixture_and_its_own() -> None:
    shown = fields.ChatFields.__optional_keys__
    assert shown <= set(Mixture.model_fields) | set(ChatMoA.model_fields)
    own = {name for name in ChatMoA.__annotations__ if not name.startswith("_")}
    assert (set(Mixture.model_fields) | own) - NOT_OURS <= shown


def test_a_proposers_model_is_given_by_position_or_by_name_and_once() -> None:
    assert Proposer("local:smollm2", name="a") == Proposer(model="local:smollm2", name="a")
    for wrong in (lambda: Proposer("a:b", "c:d"), lambda: Proposer("a:b", model="c:d")):  # type: ignore[call-arg, misc]
        with pytest.raises(ConfigError, match="one model"):
            wrong()
    with pytest.raises(ConfigError, match=r"proposer\.model: this field is required"):
        Proposer(name="a")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        Proposer("a:b", temprature=1)  # type: ignore[call-arg]


def test_help_lists_every_argument_on_its_own_lines() -> None:
    # Python 3.13 strips the indentation of docstrings itself.
    text = inspect.getdoc(create_moa) or ""
    for name in ("mixture", "checkpointer", "store", "name", "output", "ledger", "**fields"):
        assert f"\n    {name}: " in text
    for section in ("Args", "Returns", "Raises"):
        assert f"\n{section}:\n" in text
