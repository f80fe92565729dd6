"""`--estimate` and `max_cost` use the same estimate."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from moa_graph.cli import main
from moa_graph.costs.budget import ANSWER_TOKENS, estimate, over_budget
from moa_graph.costs.tokens import tokens
from moa_graph.mixture.context import BoundContext, MoAContext, settings
from moa_graph.mixture.mixture import Mixture
from moa_graph.state import Draft, new_usage

PRICES = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
QUESTION = [HumanMessage("Why is the sky blue?")]


def mixture(**fields: Any) -> Mixture:
    return Mixture(**{"proposers": ["x:a", "x:b"], "aggregator": "x:b", "prices": PRICES, **fields})


def draft(slot: int, tokens: int, cost: float | None, *, read: int = 10) -> Draft:
    return Draft(
        layer=1, slot=slot, proposer=f"p{slot}", model="x:a", status="ok", text="t", error=None,
        usage=new_usage(read, tokens), cost=cost, seconds=1.0, first_token_seconds=None, attempts=1,
    )  # fmt: skip


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_max_cost_refuses_exactly_what_the_estimate_exceeds(layers: int) -> None:
    plain = settings(mixture(layers=layers), None)
    expected = estimate(plain, QUESTION)
    assert expected.calls == mixture(layers=layers).calls() and expected.cost
    just_enough, too_little = expected.cost * 1.000001, expected.cost * 0.999999
    for most, refused in ((just_enough, False), (too_little, True)):
        run = settings(mixture(layers=layers), MoAContext(max_cost=most))
        assert (over_budget(run, QUESTION, [], run.planned(least=True), what="the run") is not None) is refused


def test_the_command_says_one_number_in_both_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = {"model": "openai:a", "base_url": "http://127.0.0.1:9/v1"}  # nothing listens there: nothing may be sent
    whole = {"proposers": [{**spec, "samples": 2}], "aggregator": spec, "layers": 3, "prices": PRICES}
    Path("mine.json.yaml").write_text(json.dumps(whole))
    assert main(["ask", "-f", "mine.json.yaml", "--estimate", "hi"]) == 0
    said = re.search(r"about \$(\d+\.\d+)", capsys.readouterr().out)
    assert said
    assert main(["ask", "-f", "mine.json.yaml", "--max-cost", "0.0001", "hi"]) == 1
    error = capsys.readouterr().err
    needed = re.search(r"about \$(\d+\.\d+)", error)
    assert needed and needed[1] == said[1] and "Nothing was sent" in error


def test_later_layers_are_estimated_from_the_drafts_and_the_cost_so_far() -> None:
    run = settings(mixture(layers=3), MoAContext(max_cost=0.01))
    later = [call for call in run.planned() if call.layer >= 2]

    def over(made: list[Draft]) -> str | None:
        return over_budget(run, QUESTION, made, later, what="layer 2 and what follows")

    assert over_budget(run, QUESTION, [], run.planned(), what="the run")
    short = [draft(0, 20, 0.0001), draft(1, 20, None)]
    assert over(short) is None
    dear = [draft(0, 20, 0.0099), draft(1, 20, None)]
    assert "about $0.0198 spent so far" in (over(dear) or "")


PDF = {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf", "filename": "a.pdf"}
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}


@pytest.mark.parametrize(("block", "uncounted"), [(PDF, True), (AUDIO, True), (PICTURE, False)])
def test_an_estimate_says_that_files_and_audio_are_not_counted(block: dict[str, Any], uncounted: bool) -> None:
    found = estimate(settings(mixture(), None), [HumanMessage([{"type": "text", "text": "What is it?"}, block])])
    assert found.uncounted is uncounted
    assert str(found).endswith("; the tokens of files and audio are not counted") is uncounted


def test_files_count_as_the_first_round_was_billed_for_them() -> None:
    run = settings(mixture(layers=3), MoAContext(max_cost=0.5))
    message = [HumanMessage([{"type": "text", "text": "What is it?"}, PDF])]
    later = [call for call in run.planned() if call.layer >= 2]
    assert over_budget(run, message, [], run.planned(), what="the run") is None
    # Two prompts at $1 and $3 for 100,000 tokens each, and samples of one request, which have no input of their own.
    made = [draft(slot, 20, 0.1, read=read) for slot, read in enumerate([100_000, 100_000, 0])]
    assert "would cost about $0.70" in (over_budget(run, message, made, later, what="layer 2") or "")


def test_an_answer_is_as_long_as_max_tokens_allows_and_the_context_wins() -> None:
    base = estimate(settings(mixture(layers=1), None), QUESTION)
    assert base.output_tokens == ANSWER_TOKENS
    own = mixture(layers=1, aggregator={"model": "x:b", "max_tokens": 50})
    assert estimate(settings(own, None), QUESTION).output_tokens == 50
    assert estimate(settings(own, MoAContext(max_tokens=9)), QUESTION).output_tokens == 9


def test_drafts_count_as_input_of_the_next_layer_up_to_draft_tokens() -> None:
    one, two = (estimate(settings(mixture(layers=n), None), QUESTION).input_tokens for n in (1, 2))
    assert two > 3 * one + 2 * ANSWER_TOKENS
    cut = estimate(settings(mixture(draft_tokens=16), None), QUESTION).input_tokens
    assert two - cut == 2 * (ANSWER_TOKENS - 16)


def test_unknown_and_free_are_said_in_words() -> None:
    unknown = estimate(settings(mixture(prices={}), None), QUESTION)
    assert unknown.cost is None and unknown.unpriced == ["x:a", "x:b"]
    assert "cost unknown (no price for x:a, x:b)" in str(unknown) and "$" not in str(unknown)
    free = estimate(settings(Mixture.load("local"), None), QUESTION)
    assert (free.cost, free.free) == (0.0, True) and str(free).endswith("tokens, free")


LONG = "words " * 400
TOOLS = [{"type": "function", "function": {"name": "f", "description": LONG}}]
FORM = {"type": "json_schema", "json_schema": {"name": "f", "schema": {"description": LONG}}}


@pytest.mark.parametrize(
    ("bound", "prompts"),
    [
        ({"tools": TOOLS}, 3),
        ({"tools": TOOLS, "tool_choice": "none"}, 1),
        ({"response_format": FORM}, 3),
        ({"tools": TOOLS, "response_format": FORM}, 4),
    ],
    ids=["tools", "no choice", "format", "both"],
)
def test_bound_tools_and_formats_are_input_of_every_model_that_is_shown_them(
    bound: dict[str, Any], prompts: int
) -> None:
    run = mixture(max_cost=1.0)
    plain, more = (estimate(settings(run, BoundContext(bound=each)), QUESTION) for each in ({}, bound))
    assert more.input_tokens - plain.input_tokens == pytest.approx(prompts * tokens(LONG), rel=0.1)


def test_the_form_of_a_reply_that_is_bound_as_a_tool_is_counted_once() -> None:
    context = BoundContext(bound={"tools": TOOLS}, form=FORM)
    plain, more = (estimate(settings(mixture(), each), QUESTION) for each in (None, context))
    assert more.input_tokens - plain.input_tokens == pytest.approx(3 * tokens(LONG), rel=0.1)


def test_arguments_of_earlier_tool_calls_are_input() -> None:
    call = AIMessage("", tool_calls=[{"name": "write", "args": {"text": LONG}, "id": "1"}])
    plain, more = (estimate(settings(mixture(), None), [*QUESTION, *each]) for each in ([AIMessage("")], [call]))
    assert more.input_tokens - plain.input_tokens == pytest.approx(3 * tokens(LONG), rel=0.1)


OWN_WORDS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "criteria": ({"name": "select", "judges": 2}, {"criteria": LONG}, 2),
    "rubric": ({"name": "critique"}, {"rubric": LONG}, 2),
    "question": (
        {"name": "escalate", "strong": ["x:c"], "gate": {"model": "x:b", "question": "q"}},
        {"gate": {"model": "x:b", "question": LONG[:2_000]}},
        1,
    ),
}


@pytest.mark.parametrize("way", OWN_WORDS)
def test_words_of_the_mixtures_owner_are_input_of_a_combiners_calls(way: str) -> None:
    options, more, calls = OWN_WORDS[way]
    short, long = (
        estimate(settings(mixture(combine=each), None), QUESTION).input_tokens
        for each in (options, {**options, **more})
    )
    assert long - short == pytest.approx(calls * tokens(LONG[:2_000] if way == "question" else LONG), rel=0.01)
