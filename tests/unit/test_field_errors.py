"""Wrong fields are described in this package's own words: no wording of pydantic, no Python type, no traceback."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moa_graph import ChatMoA
from moa_graph.errors import ConfigError, InputError, MoAError
from moa_graph.mixture.combiners import NAMES
from moa_graph.mixture.context import MoAContext
from moa_graph.mixture.mixture import Mixture
from moa_graph.mixture.proposer import Proposer
from moa_graph.state import merge_drafts, new_usage
from moa_graph.state.field_errors import field_problems, place_of
from moa_graph.state.value_text import given

WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 7, 2.5, -0.5, 10**30, float("nan"), float("inf"), "", "x", "3", "a\nb", "y" * 200_000, [],
    [None], [[]], [3], ["x"], [{}], {}, {"x": 1},
    {"name": 3}, {"name": "none"}, {1: 2}, {"a": {2: 3}}, date(2026, 1, 2),
)  # fmt: skip
MODEL = {"model": "local:smollm2", "max_tokens": 9}
WHOLE: dict[str, Any] = {"proposers": [MODEL, {**MODEL, "name": "second"}], "aggregator": MODEL}
COMBINERS: dict[str, dict[str, Any]] = {
    "escalate": {"strong": [MODEL], "gate": {"model": MODEL}, "comparator": MODEL, "agree": "model"},
    "verify": {"check": {"command": ["true"]}},
    "vote": {"answer": {"read": "final"}},
}

PYDANTIC = re.compile(
    r"Input should|valid (?:string|integer|number|list|dictionary|boolean|tuple)|[Ff]ield required|Extra inputs|"
    r"instance of|validation error|pydantic|Value error|Assertion|at least \d+ items? after|unable to parse|For further"
)
PYTHON = re.compile(
    r"\b(?:dict|str|list\[|NoneType|None|True|False|int|float|bool|tuple|Mapping|object at|Traceback)\b"
)


def checked(error: MoAError, name: str) -> str:
    text = str(error)
    assert not PYDANTIC.search(text), text
    assert not PYTHON.search(text), text
    assert len(text) < 3_000 and name.rpartition(".")[2] in text, text
    return text


def variants(cls: Any, given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in cls.model_fields:
        for value in WRONG:
            yield name, {**given, name: value}


def refusals(build: Any, cls: Any, given: dict[str, Any], where: str = "") -> int:
    """Return how many of a model's fields with wrong values are refused; every refusal must be in plain words."""
    count = 0
    for name, fields in variants(cls, given):
        try:
            build(fields)
        except MoAError as exc:
            checked(exc, name if not where else f"{where}.{name}")
            count += 1
    return count


def test_every_wrong_value_of_a_mixture_is_refused_in_plain_words() -> None:
    assert refusals(lambda fields: Mixture.load(fields), Mixture, WHOLE) > 500


def test_every_wrong_value_of_a_proposer_is_refused_in_plain_words() -> None:
    def build(fields: dict[str, Any]) -> Mixture:
        return Mixture.load({**WHOLE, "proposers": [fields, {**MODEL, "name": "second"}]})

    assert refusals(build, Proposer, MODEL) > 250
    for name, fields in variants(Proposer, MODEL):
        try:
            build(fields)
        except ConfigError as exc:
            assert str(exc).startswith("mixture.proposers[0]"), (name, str(exc))


@pytest.mark.parametrize("combiner", NAMES)
def test_every_wrong_value_of_a_combiner_is_refused_in_plain_words(combiner: str) -> None:
    given = {"name": combiner, **COMBINERS.get(combiner, {})}
    cls = type(Mixture.load({**WHOLE, "combine": given}).combine)

    def build(fields: dict[str, Any]) -> Mixture:
        return Mixture.load({**WHOLE, "combine": fields})

    assert refusals(build, cls, given, "combine") >= len(cls.model_fields) * 8
    for part in (name for name, value in given.items() if isinstance(value, dict)):
        inner = type(getattr(Mixture.load({**WHOLE, "combine": given}).combine, part))
        count = refusals(lambda fields, part=part: build({**given, part: fields}), inner, given[part])
        assert count >= 10


def test_every_wrong_value_of_a_context_and_of_a_chat_model_is_refused_in_plain_words() -> None:
    assert refusals(lambda fields: MoAContext(**fields), MoAContext, {}) > 200
    for name in ("temperature", "max_tokens", "stop", "timeout", "max_retries", "cache", "callbacks", "rate_limiter"):
        for value in WRONG:
            try:
                ChatMoA(WHOLE, **{name: value})  # type: ignore[misc]  # a wrong field on purpose
            except ConfigError as exc:
                checked(exc, name)


def test_every_wrong_value_of_a_request_is_refused_in_plain_words() -> None:
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    from moa_graph.serve.openai.request import ChatRequest
    from moa_graph.serve.problems import Problem

    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    names = ("model", "messages", "stream", "temperature", "stop", "tools", "tool_choice", "response_format", "seed")
    refused = 0
    for name in names:
        for value in WRONG[1:]:
            try:
                ChatRequest.parse({**body, name: value})
            except Problem as exc:
                refused += 1
                assert not PYDANTIC.search(str(exc)) and not PYTHON.search(str(exc)), str(exc)
    assert refused > 100


def test_every_wrong_value_of_an_edited_draft_is_refused_in_plain_words() -> None:
    draft = {
        "layer": 1, "slot": 0, "proposer": "p0", "model": "a:b", "status": "ok", "text": "x", "error": None,
        "usage": new_usage(1, 1), "cost": 0.0, "seconds": 1.0, "first_token_seconds": None, "attempts": 1,
    }  # fmt: skip
    refused = 0
    for name in draft:
        for value in WRONG:
            try:
                merge_drafts([], [{**draft, name: value}])
            except InputError as exc:
                refused += 1
                checked(exc, name)
    assert refused > 100


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Any) -> None:
    """Every field is wrong at once, on a line of its own: each line is named."""
    wrong = {name: {"x": 1} for name in Mixture.model_fields if name not in ("rounds", "prices")}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    with pytest.raises(ConfigError) as caught:
        Mixture.load(tmp_path / "m.yaml")
    text = checked(caught.value, "layers")
    for name in wrong:
        assert re.search(rf"line \d+, {name}\b", text), name


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"layers": "three"}, 'mixture.layers: expected a whole number from 1 to 10, got "three".'),
        ({"layers": "3"}, 'mixture.layers: expected a whole number from 1 to 10, got "3". Remove the quotes.'),
        ({"name": 5}, "mixture.name: expected text that is not empty, got 5. Put it in quotes."),
        ({"deadline": -4}, "mixture.deadline: expected a number above 0 and at most 86,400, got -4."),
        ({"prompt": "papers"}, 'mixture.prompt: expected one of paper, fenced, got "papers".'),
        ({"shuffle": "no"}, 'mixture.shuffle: expected true or false, got "no".'),
        (
            {"sees": "many"},
            "mixture.sees: expected a whole number of at least 1 or a list (each: a whole number of at least 1), "
            'got "many".',
        ),
        (
            {"combine": "voting"},
            'mixture.combine: expected a combiner\'s name, or a mapping with `name`, got "voting". Did you mean '
            "'vote'? Names: synthesize, analyze, select, vote, verify, escalate, critique.",
        ),
        (
            {"combine": {"name": "select", "keep": "none"}},
            'mixture.combine.keep: expected a whole number of at least 1 or "all", got "none".',
        ),
        (
            {"proposers": [{"model": "local:smollm2", "temperature": "hot"}]},
            'mixture.proposers[0].temperature: expected a number from 0 to 2, got "hot".',
        ),
    ],
)
def test_the_field_the_value_and_what_is_allowed_are_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Mixture.load({**WHOLE, **fields})
    assert str(caught.value) == words


EVERYWHERE = "It is a field of each model: write it in `proposers` and `aggregator`."
OF_MIXTURES = "It is a field of the mixture: write it beside `proposers`, not in a model."
PARAMETER = "A parameter of the provider's API goes into"


@pytest.mark.parametrize(
    ("field", "of_mixture", "of_model", "of_chat"),
    [
        (
            "models",
            "Did you mean 'proposers'?",
            "Did you mean 'proposers'? " + OF_MIXTURES,
            "Did you mean 'proposers'?",
        ),
        ("judge", "Did you mean 'combine'?", "Did you mean 'combine'? " + OF_MIXTURES, "Did you mean 'combine'?"),
        ("retries", "Did you mean 'max_attempts'?", OF_MIXTURES, "Did you mean 'max_retries'?"),
        ("budget", "Did you mean 'max_cost'?", OF_MIXTURES, "Did you mean 'max_cost'?"),
        ("timeout", "Did you mean 'deadline'?", "Did you mean 'deadline'? " + OF_MIXTURES, ""),
        ("max_tokens", EVERYWHERE, "", ""),
        ("max_concurrent", EVERYWHERE, "", EVERYWHERE),
        ("model_name", "Did you mean 'model'? " + EVERYWHERE, "Did you mean 'model'?", EVERYWHERE),
        ("api_key", "Did you mean 'api_key_env'? " + EVERYWHERE, "Did you mean 'api_key_env'?", EVERYWHERE),
        ("layers", "", OF_MIXTURES, ""),
        ("layer", "Did you mean 'layers'?", "Known fields: model, ", "Did you mean 'layers'?"),
        ("url", "Did you mean 'base_url'? " + EVERYWHERE, "Did you mean 'base_url'?", EVERYWHERE),
        (
            "stream_drafts",
            "It is set for one run, in the run's `context`",
            "Known fields: model, ",
            "It is set for one",
        ),
        ("top_p", PARAMETER, PARAMETER + " `params`.", PARAMETER + " the `params` of a model in `proposers` and"),
        ("seed", PARAMETER, PARAMETER + " `params`.", PARAMETER + " the `params` of a model in `proposers` and"),
        ("preset", "copy what `moa presets show NAME` prints", "Known fields: model, ", "A file does not extend"),
        ("strategy", "Did you mean 'combine'?", OF_MIXTURES, "Did you mean 'combine'?"),
        ("wobble", "Known fields: proposers, ", "Known fields: model, ", "Known fields: "),
    ],
)
def test_the_way_out_of_an_unknown_field_is_the_field_that_was_meant(
    field: str, of_mixture: str, of_model: str, of_chat: str
) -> None:
    """Empty words stand for a field that there is."""
    model = {"model": "local:smollm2"}
    made: list[tuple[str, Callable[[], object]]] = [
        (of_mixture, lambda: Mixture.load({**WHOLE, field: 1})),
        (of_model, lambda: Mixture.load({**WHOLE, "proposers": [{**model, field: 1}]})),
        (of_chat, lambda: ChatMoA({**WHOLE}, **{field: 1})),
    ]
    for words, make in made:
        if words:
            with pytest.raises(ConfigError) as caught:
                make()
            assert f"unknown field {field!r}. " in str(caught.value) and words in str(caught.value)


class Fields(BaseModel):
    """Kinds of fields that a mixture does not have."""

    model_config = ConfigDict(strict=True, extra="forbid")

    part: float = Field(default=0.5, gt=0)
    many: list[int] = Field(default=[1], min_length=1, max_length=2)
    named: dict[str, int] = Field(default_factory=dict)
    either: str | dict[str, int] = "x"
    code: str = Field(default="a", pattern="^a+$")
    short: str = Field(default="a", max_length=3)


@pytest.mark.parametrize(
    ("given", "place", "reason"),
    [
        ({"part": 0.0}, "part", "expected a number above 0, got 0.0."),
        ({"many": []}, "many", "expected a list of 1 to 2 values (each: a whole number), got []."),
        ({"many": [1, "x"]}, "many[1]", 'expected a whole number, got "x".'),
        ({"named": [1]}, "named", "expected a mapping (`name: value`), got [1]."),
        ({"named": {"a": "x"}}, "named.a", 'expected a whole number, got "x".'),
        ({"either": 3}, "either", "expected text or a mapping (`name: value`), got 3. Put it in quotes."),
        ({"code": "b"}, "code", 'expected text that matches ^a+$, got "b".'),
        ({"short": "abcd"}, "short", 'expected text of at most 3 characters, got "abcd".'),
        ({"other": 1}, "other", "unknown field. Remove it."),
    ],
)
def test_other_kinds_of_fields_are_described_as_well(given: dict[str, Any], place: str, reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        Fields(**given)
    found = field_problems(error.value, Fields.model_json_schema(), named=True)
    assert [(place_of(each.path), each.text) for each in found] == [(place, reason)]


def test_a_missing_aggregator_says_what_it_is_for() -> None:
    with pytest.raises(ConfigError) as caught:
        Mixture.load({"proposers": ["local:smollm2"]})
    assert str(caught.value) == (
        "mixture.aggregator: this field is required: the model that writes the answer. "
        'Expected a model as "provider:model", or a mapping with `model`.'
    )


def test_a_date_of_yaml_is_a_date(tmp_path: Any) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(WHOLE) + "date: 2026-11-28\n")
    assert Mixture.load(tmp_path / "m.yaml").date == "2026-11-28"


class _Unreadable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


def _circular() -> dict[str, Any]:
    circular: dict[str, Any] = {}
    circular["a"] = circular
    return circular


ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "deep": (_deep, "[" * 60 + "…"),
    "circular": (_circular, '{"a": ' * 10 + "…"),
    "key": (lambda: {("a", 1): 2}, """{"('a', 1)": 2}"""),
    "unreadable": (_Unreadable, '"_Unreadable"'),
    "huge": (lambda: [10**5000], '["a number of about 5,000 digits"]'),
    "long": (lambda: ["é" * 10**6], '["' + "é" * 58 + "…"),
    "wide": (
        lambda: dict.fromkeys(range(10**5), 1),
        '{"0": 1, "1": 1, "2": 1, "3": 1, "4": 1, "5": 1, "6": 1, "7"…',
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_any_value_is_named_in_an_error(name: str) -> None:
    make, words = ODD[name]
    assert given(make()) == words


@pytest.mark.parametrize("name", ODD)
def test_a_value_that_json_cannot_hold_is_a_wrong_value_like_any_other(name: str) -> None:
    value = ODD[name][0]()
    with pytest.raises(ConfigError, match=r"^context\.layers: expected a whole number from 1 to 10, got "):
        MoAContext(layers=value)
    with pytest.raises(ConfigError, match=r"^ChatMoA\.temperature: expected a number from 0 to 2, got "):
        ChatMoA(WHOLE, temperature=value)
    with pytest.raises(ConfigError, match=r"^mixture\.layers: expected a whole number from 1 to 10, got "):
        Mixture.load(WHOLE, layers=value)


@pytest.mark.parametrize("others", [{"metadata": {}}, {"tags": ["mine"], "verbose": False}, {"profile": {}}])
def test_a_wrong_field_beside_langchains_own_is_one_error_and_no_warning(others: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^ChatMoA\.temperature: expected a number from 0 to 2, got 9\.$"):
        ChatMoA(WHOLE, temperature=9, **others)


def test_a_wrong_profile_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^ChatMoA\.profile: expected a mapping \(`name: value`\), got 3\.$"):
        ChatMoA(WHOLE, profile=3)  # type: ignore[call-arg]
