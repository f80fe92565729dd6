"""The combiners' options. Each class says how many calls its combiner makes, at least and at most."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, PlainSerializer, Tag, WithJsonSchema, model_validator

from moa_graph.errors import ConfigError
from moa_graph.mixture.answers import AnswerReader, Reader
from moa_graph.mixture.combiner import Combiner, Outline, PlannedCall, drafting, writing
from moa_graph.mixture.proposer import Origin, Proposer, Spec, reading
from moa_graph.mixture.validation import Checked

__all__ = [
    "NAMES",
    "Analyze",
    "AnyCombiner",
    "CommandCheck",
    "Critique",
    "Escalate",
    "Gate",
    "SchemaCheck",
    "Select",
    "Synthesize",
    "Verify",
    "Vote",
    "maker",
]


class Synthesize(Combiner):
    """The aggregator reads all drafts and writes the answer."""

    name: Literal["synthesize"] = "synthesize"


class Analyze(Combiner):
    """An analyst compares the drafts, then the aggregator writes with the comparison at hand.

    Attributes:
        analyst: The analyst's model; the aggregator's by default.
        answer: `reply` answers the user, `report` tells a person where the drafts agree and differ, and what to do.
            `none` calls no writer: the answer is the analysis as JSON.
    """

    stages = 1

    name: Literal["analyze"] = "analyze"
    analyst: Spec | None = None
    answer: Literal["reply", "report", "none"] = "reply"

    @property
    def specs(self) -> list[Proposer]:
        return [self.analyst] if self.analyst else []

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        many = len(outline.last)
        own = [PlannedCall(self.analyst or outline.aggregator, len(outline.base), "analyst", many)] if many > 1 else []
        last = [] if own and self.answer == "none" else [writing(outline, many + len(own))]
        return [*drafting(outline), *own, *last]


class Select(Combiner):
    """Judges compare all drafts side by side; the best one is the answer, or the best few are synthesized.

    Attributes:
        by: `aggregator`: its model judges, or `judge`. `peers`: every proposer judges all drafts.
        judge: The judges' model when `by` is `aggregator`.
        judges: How many judges, each with the drafts in another order; two see opposite orders.
        verdict: `scores` from 0 to 10, averaged, or a `ranking`, added up by Borda count.
        keep: 1 returns the best draft word for word; more hand that many to the aggregator; `all` hands it all.
        show_scores: Whether the aggregator is shown the verdicts.
        criteria: What to judge by, in words.
    """

    stages = 1

    name: Literal["select"] = "select"
    by: Literal["aggregator", "peers"] = "aggregator"
    judge: Spec | None = None
    judges: int = Field(default=1, ge=1, le=16)
    verdict: Literal["scores", "ranking"] = "scores"
    keep: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    show_scores: bool = False
    criteria: str | None = Field(default=None, min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _check_judges(self) -> Self:
        if self.by == "peers" and (self.judge or self.judges != 1):
            raise ConfigError("combine: with `by: peers` every proposer judges. Leave out `judge` and `judges`.")
        if self.show_scores and self.keep == 1:
            raise ConfigError("combine.show_scores: with `keep: 1` no model writes. Set `keep` to more, or to all.")
        return self

    @property
    def specs(self) -> list[Proposer]:
        return [self.judge] if self.judge else []

    def refuse_misfit(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        if rounds and self.keep != "all" and self.keep > len(rounds[-1]):
            raise ConfigError(f"combine.keep: {self.keep} drafts to keep, but the last round has {len(rounds[-1])}.")

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        many, layer = len(outline.last), len(outline.base)
        specs = outline.last if self.by == "peers" else [self.judge or outline.aggregator] * self.judges
        own = [PlannedCall(spec, layer, "judge", many) for spec in specs] if many > 1 else []
        kept = many if self.keep == "all" else self.keep
        last = [] if self.keep == 1 else [writing(outline, kept + self.show_scores)]
        return [*drafting(outline), *own, *last]


class Vote(Combiner):
    """Answers are read from the drafts and counted; the earliest draft with the winning answer is the answer.

    Attributes:
        answer: How an answer is read.
        weights: What each slot's vote counts; all 1 by default.
        batch: How many slots of the last round are called at a time; all by default.
        stop: Whether the round ends as soon as the leader cannot be caught.
        sure: Ends the round also when the leader is ahead of the second with this probability.
    """

    name: Literal["vote"] = "vote"
    answer: Reader = AnswerReader()
    weights: list[Annotated[float, Field(gt=0, le=1e6)]] | None = None
    batch: int | None = Field(default=None, ge=1)
    stop: bool = True
    sure: float | None = Field(default=None, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if self.weights is not None and self.sure is not None:
            raise ConfigError("combine.sure: counts votes of equal weight. Leave out `weights` or `sure`.")
        return self

    def refuse_misfit(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        many = len(rounds[-1])
        if self.weights is not None and len(self.weights) != len(rounds[-1]):
            raise ConfigError(f"combine.weights: {len(self.weights)} weights for {many} slots. Give one for each slot.")

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        calls = drafting(outline)
        if least and self.batch and (self.stop or self.sure):
            drop = len(outline.last) - self._fewest(len(outline.last))
            calls = calls[: len(calls) - drop]
        return calls

    def _fewest(self, slots: int) -> int:
        """How many slots are called when all answers are equal."""
        batch = self.batch or slots
        weights = self.weights or [1.0] * slots
        for sent in range(batch, slots, batch):
            if self.stop and sum(weights[:sent]) > sum(weights[sent:]):
                return sent
            if self.sure is not None and 1 - 0.5 ** (sent + 1) >= self.sure:
                return sent
        return slots


class CommandCheck(Checked):
    """A program that gets the draft on standard input. Exit code 0 passes; standard error says what is wrong.

    Attributes:
        command: The program and its arguments. No shell is involved.
        seconds: How long it may run.
        environment: Names of environment variables that it gets besides PATH and the locale.
    """

    called = "combine.check"

    command: Annotated[list[str], Field(min_length=1)]
    seconds: float = Field(default=30.0, gt=0, le=3_600)
    environment: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _refuse_foreign(self) -> Self:
        origin = reading.get(Origin())
        if origin.path is not None and not origin.trusted:
            raise ConfigError(
                f"combine.check: {origin.path.name} wants to run the program {self.command[0]!r} on this machine. "
                "If you wrote the file, load it with Mixture.load(file, trust=True), or --trust on the command line."
            )
        return self


class SchemaCheck(Checked):
    """The draft must be JSON of this schema. Needs the extra `verify`.

    Attributes:
        json_schema: The JSON schema. References to other addresses are not followed.
    """

    called = "combine.check"

    json_schema: dict[str, Any]

    @model_validator(mode="after")
    def _check_schema(self) -> Self:
        if not importlib.util.find_spec("jsonschema"):
            raise ConfigError(
                "combine.check: json_schema needs jsonschema. Install it: pip install 'moa_graph[verify]'"
            )
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import validator_for

        try:
            validator_for(self.json_schema, default=Draft202012Validator).check_schema(self.json_schema)
        except SchemaError as exc:
            raise ConfigError(f"combine.check.json_schema: not a JSON schema ({exc.message[:200]}).") from None
        return self


def _name_of(check: Any) -> str:
    return f"{getattr(check, '__module__', '')}.{getattr(check, '__qualname__', type(check).__name__)}"


Function = Annotated[
    Callable[..., Any],
    PlainSerializer(_name_of, return_type=str),
    WithJsonSchema({"type": "string", "description": "A Python callable, in code only."}),
]


def _kind_of(check: Any) -> str:
    if callable(check):
        return "function"
    known = {"command": CommandCheck, "json_schema": SchemaCheck}
    for name, kind in known.items():
        if isinstance(check, kind) or (isinstance(check, Mapping) and name in check):
            return name
    raise ConfigError(
        "combine.check: expected a Python callable, {command: [...]} or {json_schema: {...}}, "
        f"got {type(check).__name__}."
    )


Check = Annotated[
    Annotated[CommandCheck, Tag("command")]
    | Annotated[SchemaCheck, Tag("json_schema")]
    | Annotated[Function, Tag("function")],
    Discriminator(_kind_of),
]
"""How a draft is checked."""


class Verify(Combiner):
    """Every draft is checked; the first that passes closes the round and is the answer, word for word.

    Attributes:
        check: A Python callable `(messages, text) -> bool | (bool, score, message)`, sync or async; or
            `{command: [...]}`; or `{json_schema: {...}}`.
        repairs: How many rounds in which authors are shown their draft and what the check said.
    """

    name: Literal["verify"] = "verify"
    check: Check
    repairs: int = Field(default=0, ge=0, le=5)

    def extra_rounds(self, base: Sequence[list[str]], roster: list[str]) -> list[list[str]]:
        return [list(base[-1])] * self.repairs if base else []

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        calls = drafting(outline)
        if least:
            return calls
        for number, specs in enumerate(outline.extra, start=1):
            calls += [PlannedCall(spec, len(outline.base) + number, "proposer", 2) for spec in specs]
        return [*calls, writing(outline, len(outline.last), layer=len(outline.base) + len(outline.extra) + 1)]


class Gate(Checked):
    """One cheap question before the first round: does the conversation need a mixture?

    Attributes:
        model: Who answers it.
        question: The question, to be answered with yes or no.
    """

    called = "combine.gate"

    model: Spec
    question: str = Field(
        default="Would several independent attempts at a reply to the latest message be likely to differ in substance, "
        "so that comparing them is worth several times the cost of one reply?",
        min_length=1,
        max_length=2_000,
    )


class Escalate(Combiner):
    """A cheap round first; when its drafts agree, one of them is the answer, else a strong round is called.

    Attributes:
        strong: The proposers of the strong round.
        agree: `exact`: all answers, as `answer` reads them, are equal. A number from 0 to 1: the drafts' agreement is
            at least that. `model`: `comparator` finds that they say the same.
        answer: How answers are read for `exact`.
        comparator: The model for `agree: model`; the aggregator's by default.
        show_cheap: Whether the strong round is shown the cheap drafts.
        finish: `draft` returns the strong draft most alike to the others word for word; `synthesize` has the aggregator
            write. By default `draft` for one strong slot, else `synthesize`.
        gate: A question before the first round; a "no" sends the conversation to the aggregator alone.
    """

    stages = 2

    name: Literal["escalate"] = "escalate"
    strong: Annotated[list[Spec], Field(min_length=1)]
    agree: Literal["exact", "model"] | Annotated[float, Field(ge=0, le=1)] = "exact"
    answer: Reader = AnswerReader()
    comparator: Spec | None = None
    show_cheap: bool = False
    finish: Literal["draft", "synthesize"] | None = None
    gate: Gate | None = None

    @model_validator(mode="after")
    def _check_comparator(self) -> Self:
        if self.comparator and self.agree != "model":
            raise ConfigError("combine.comparator: goes with `agree: model` only.")
        return self

    @property
    def specs(self) -> list[Proposer]:
        return [*([self.comparator] if self.comparator else []), *([self.gate.model] if self.gate else [])]

    @property
    def roster(self) -> list[Proposer]:
        return self.strong

    @property
    def verbatim(self) -> bool:
        """Whether the strong round's draft is the answer word for word."""
        slots = sum(spec.samples for spec in self.strong)
        return self.finish == "draft" or (self.finish is None and slots == 1)

    def base_layers(self, layers: int) -> int:
        return 2

    def extra_rounds(self, base: Sequence[list[str]], roster: list[str]) -> list[list[str]]:
        return [roster]

    def refuse_misfit(self, rounds: Sequence[Sequence[Proposer]]) -> None:
        if len(rounds) != 1:
            raise ConfigError(
                f"combine: escalate needs one cheap round, and this mixture has {len(rounds)}. "
                "Set `layers` to 2 and list the strong models in `combine.strong`."
            )

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        gate = [PlannedCall(self.gate.model, 0, "gate", 0)] if self.gate else []
        if least and gate:
            return [*gate, writing(outline, 0, layer=1)]
        calls = [*gate, *drafting(outline)]
        many = len(outline.last)
        if self.agree == "model" and many > 1:
            calls.append(PlannedCall(self.comparator or outline.aggregator, 1, "comparator", many))
        if least:
            return calls
        shown = many if self.show_cheap else 0
        calls += [PlannedCall(spec, 2, "proposer", shown) for spec in outline.extra[0]]
        return calls if self.verbatim else [*calls, writing(outline, len(outline.extra[0]), layer=3)]


class Critique(Combiner):
    """Reviewers say what is unsupported, missing or wrong; authors revise only that; then the aggregator writes.

    Attributes:
        reviewers: Who reviews, in turn; by default the other proposers and the aggregator, of another maker if there
            is one.
        rubric: What to look for, in words.
    """

    stages = 1

    name: Literal["critique"] = "critique"
    reviewers: list[Spec] = Field(default_factory=list)
    rubric: str | None = Field(default=None, min_length=1, max_length=10_000)

    @property
    def specs(self) -> list[Proposer]:
        return list(self.reviewers)

    def extra_rounds(self, base: Sequence[list[str]], roster: list[str]) -> list[list[str]]:
        return [list(base[-1])] if base else []

    def reviewer_of(self, slot: int, proposers: Sequence[Proposer], aggregator: Proposer) -> Proposer:
        """Return who reviews the draft of `slot`: the next model in the ring that is of another maker, if any is."""
        author = proposers[slot]
        ring = [*proposers[slot + 1 :], *proposers[:slot], aggregator]
        if self.reviewers:
            start = slot % len(self.reviewers)
            ring = [*self.reviewers[start:], *self.reviewers[:start]]
        return next((spec for spec in ring if maker(spec) != maker(author)), ring[0])

    def planned(self, outline: Outline, *, least: bool) -> list[PlannedCall]:
        many, layer = len(outline.last), len(outline.base)
        calls = drafting(outline)
        reviewers = [self.reviewer_of(slot, outline.last, outline.aggregator) for slot in range(many)]
        calls += [PlannedCall(spec, layer, "reviewer", 1) for spec in reviewers]
        if not least:
            calls += [PlannedCall(spec, layer + 1, "proposer", 2) for spec in outline.extra[0]]
        return calls if many == 1 else [*calls, writing(outline, many, layer=layer + 2)]


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
    _, _, name = spec.label.partition(":")
    owner, slash, rest = name.rpartition("/")
    word = (owner if slash else name).rsplit("/", 1)[-1].lower()
    for family in (word, (rest if slash else name).lower()):
        head = "".join(c for c in family.split("-")[0].split(".")[0] if c.isalpha() or c in "134")
        for known, who in _FAMILIES.items():
            if head.startswith(known):
                return who
    return word if slash else "".join(c for c in word.split("-")[0] if c.isalpha()) or word


_ALL: dict[str, type[Combiner]] = {
    "synthesize": Synthesize,
    "analyze": Analyze,
    "select": Select,
    "vote": Vote,
    "verify": Verify,
    "escalate": Escalate,
    "critique": Critique,
}
NAMES = tuple(_ALL)
"""The combiners' names."""


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _which(value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    if name not in _ALL:
        given = "no name" if name is None else f"unknown combiner {name!r}"
        raise ConfigError(f"mixture.combine: {given}. Give a name, or a mapping with `name`: {', '.join(NAMES)}.")
    return str(name)


_Mapping = Annotated[
    Annotated[Synthesize, Tag("synthesize")]
    | Annotated[Analyze, Tag("analyze")]
    | Annotated[Select, Tag("select")]
    | Annotated[Vote, Tag("vote")]
    | Annotated[Verify, Tag("verify")]
    | Annotated[Escalate, Tag("escalate")]
    | Annotated[Critique, Tag("critique")],
    Discriminator(_which),
]
_Name = Annotated[str, Field(json_schema_extra={"enum": list(NAMES)})]

AnyCombiner = Annotated[_Mapping, BeforeValidator(_named, json_schema_input_type=_Name | _Mapping)]
"""A combiner's name, or a mapping of its name and options."""
