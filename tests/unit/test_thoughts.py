"""Reasoning is removed from text, whole or in pieces: every common mark, quoted, nested, cut, unopened, hostile."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moa_graph.models.reply import thoughts
from moa_graph.models.reply.fields import encodable
from moa_graph.models.reply.thought_cleaner import Cleaner
from moa_graph.models.reply.thoughts import clean

MARKS = [
    "<think>", "</think>", "<THINKING>", "</thinking>", "<reasoning>", "</reasoning>", "<thought>", "</thought>",
    "<seed:think>", "</seed:think>", "[THINK]", "[/THINK]", "◁think▷", "◁/think▷", "<|channel|>analysis<|message|>",
    "<|start|>assistant<|channel|>final<|message|>", "<|end|>", "<|return|>", "assistantfinal", "analysisWe",
    "<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<think/>", "<think:v2>",
    "</think:v2>", "<|channel|>final", "<|think_start|>", "<|think_end|>", "analysis", "assistantanalysis", "\ufeff",
]  # fmt: skip
BITS = ["<", "<thi", "</", " ", "\n", "\n\n", "`", "```", '"', ".", "word", "7 < 9", "\0", "\ud83d", "\ude00", "é", "İ"]
TEXTS = st.lists(st.sampled_from([*MARKS, *BITS]), max_size=14).map("".join)


def in_pieces(text: str, cuts: list[int]) -> str:
    """Return the final text of a reader that obeys restarts."""
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    cleaner, shown, restarts = Cleaner(), "", 0
    for a, b in [*pairwise(places), (len(text), None)]:
        piece = cleaner.rest() if b is None else cleaner.feed(text[a:b])
        if cleaner.restarts > restarts:
            shown, restarts = "", cleaner.restarts
        shown += piece
    return shown


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.lists(st.integers(0, 120), max_size=30))
@example("<think>a</thought><think></think>b</thought> c", [25])
def test_pieces_joined_are_the_cleaned_whole(text: str, cuts: list[int]) -> None:
    assert in_pieces(text, cuts) == clean(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.integers(1, 40))
def test_a_long_text_is_cleaned_in_slices_with_the_same_result(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(thoughts, "_SLICE", size)
        sliced = clean(text)
    assert sliced == clean(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS)
def test_what_remains_can_be_sent_and_stored(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned and cleaned == cleaned.strip()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<think>first\nthis</think>\n\nThe answer.", "The answer."),
        ("<Thinking>a</thinking>\n <reasoning>c</reasoning>d", "d"),
        ("<thought>\n2 and 2 make 4.\n</thought>\n\nIt is 4.", "It is 4."),
        ("<think time='3'>a</think >b", "b"),
        ("<seed:think>a</seed:think>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>b<|end_of_solution|>", "b"),
        ("<|channel>thought\na<channel|>b", "b"),
        ("<unused94>thought\na<unused95>b", "b"),
        ("<|thinking|>a<|/thinking|>b", "b"),
        ("<|think_start|>a<|think_end|>b", "b"),
        ("<|Begin_Reasoning|>a<|End_Reasoning|>b", "b"),
        ("<think:v2>a</think:v2>b", "b"),
        ("<redacted_thinking>a</redacted_thinking>b", "b"),
        ("<thought_process>a</thought_process>b", "b"),
        ("<think>a</think><|begin_of_box|>b<|end_of_box|>", "b"),
        ("Here are my reasoning steps:\na\n[BEGIN FINAL RESPONSE]\nb\n[END FINAL RESPONSE]", "b"),
        ("\ufeff<think>a</think>b", "b"),
        ("<thi\0nk>a", ""),
        ("\u200b\ufeff b", "b"),
        ("\u00a0<think>a</think>\u00a0b", "b"),
        ("<think>and never closed", ""),
        ("[THINK]and never closed", ""),
        ("<think>a</think><thi", "<thi"),
        ("<think></think><think></think>b", "b"),
        # Harmony, with its tokens and without.
        ("<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.", "It is 4."),
        ("<|start|>assistant<|channel|>final<|message|>It is 4.<|return|>", "It is 4."),
        ("<|channel|>analysis<|message|>never done", ""),
        ("<|channel|>analysis<|message|>Easy.<|end|>It is 4.", "It is 4."),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>", ""),
        ("<|start|>assistant<|message|>It is 4.", "It is 4."),
        ("analysisWe need 4.assistantfinalIt is 4.", "It is 4."),
        ("analysisWe need", ""),
        ("<|channel|>final<|message|>It is 4.<|end|> \n Yes.", "It is 4.Yes."),
        ("<|channel|>Analysis<|message|>a<|end|><|start|>assistant<|channel|>Final<|message|>b", "b"),
        ("It is easy.<|end|><|start|>assistant<|channel|>final<|message|>It is 4.<|return|>", "It is 4."),
        ("analysis<|message|>Easy.<|end|><|channel|>final<|message|>It is 4.", "It is 4."),
        ("assistantanalysisWe need 4.assistantfinalIt is 4.", "It is 4."),
        ("analysis用户 asks.assistantfinalIt is 4.", "It is 4."),
        # Closed by another name.
        ("<think>a</thinking>b", "b"),
        ("<|think|>a</think>b", "b"),
        ("<think>It says </thinking> there.</think>yes", "yes"),
        ("<seed:think>a[/THINK]b</seed:think> c", "c"),
        ("<thinking>It says <think> or <reasoning>.</reasoning></think> there.</thinking>yes", "yes"),
        # Quoted, nested.
        ("<think>I write <thinking> tags.</thinking></think>yes", "yes"),
        ("<think>a<think>b</think>c</think>yes", "yes"),
        ("<think>It says `</think>` there.</think>yes", "yes"),
        ('<think>It says "</think>" there.</think>yes', "yes"),
        ("<think>It says </think> there.</think>yes", "yes"),
        # The opening mark is missing.
        ("no\n</think>\n\nyes", "yes"),
        ("no\n</think>\nyes", "yes"),
        ('no\n</think>{"sources": []}', '{"sources": []}'),
        ("it is 4.</think>\n\nyes", "yes"),
        ("it is 4.</think>4", "4"),
        ("it is 4.</think> yes", "yes"),
        ("it is 4</think>\nyes", "yes"),
        ("so 4</think>The answer", "The answer"),
        ("It asks about `<think>` tags.\n</think>\n\nyes", "yes"),
        ("a thought[/THINK]b", "b"),
        ("</think>yes", "yes"),
        ("no, not yet\n</think>", ""),
    ],
)
def test_reasoning_is_removed(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert in_pieces(text, list(range(len(text)))) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Put the steps in a `<thinking>` tag first. Then answer.",
        "a<think>b</think>c",
        "yes <think>is a tag</think> and goes on",
        "Models write <reasoning>...</reasoning> before they answer.",
        "Servers may return a lone </think>, which ends the thought.",
        'Use text.split("</think>") and take the rest.\n\nThat is all.',
        "A prompt:\n\n<think>\nsteps\n</think>\n\nand the rest of it",
        "Close with `</think>`\n\nand go on.",
        "```\n</think>\n```\nis the mark.",
        "1 <thin air",
        "ends in <think",
        "analysis of the text",
        "analysis: the text",
        "<think/> is an empty tag",
        "Harmony's answers follow `<|channel|>final<|message|>` in the text.",
        "[THINKING] is not a mark",
        "<b>bold</b>",
        "plain text",
    ],
)
def test_an_answer_about_the_marks_is_kept_whole(text: str) -> None:
    assert clean(text) == text
    assert in_pieces(text, list(range(len(text)))) == text


def test_surrogates_that_belong_together_become_one_character() -> None:
    assert in_pieces("smile \ud83d\ude00!", list(range(9))) == "smile \U0001f600!"
    assert encodable("a😀\udc00b\0") == "a😀�b"


def test_text_is_shown_as_soon_as_it_is_sure() -> None:
    cleaner = Cleaner()
    shown = [cleaner.feed(piece) for piece in ["Hel", "lo ", "wor", "ld <", "b>"]]
    assert shown == ["Hel", "lo", " wor", "ld", " <b>"]


def test_a_late_closing_mark_restarts_the_answer() -> None:
    cleaner = Cleaner()
    assert (cleaner.feed("Let me see."), cleaner.restarts) == ("Let me see.", 0)
    assert (cleaner.feed("\n</think>\n\nIt is 4."), cleaner.restarts) == ("It is 4.", 1)


HOSTILE = [
    "<think></think>",
    "<think>a<b</think>",
    "</think>",
    "a</think> ",
    "x.</think>",
    "<",
    "[THINK]",
    " \n",
    "`",
    "<|channel|>analysis<|message|>x<|end|>",
    "<think ",
    "analysisA",
]


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_time_grows_with_the_length_and_not_faster(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        began = time.process_time()
        clean(text)
        return time.process_time() - began

    seconds(1000)
    small = min(seconds(100_000) for _ in range(3))
    # Eight times the text: quadratic time would be 64 times as long.
    assert seconds(800_000) < 24 * small + 0.05


OPEN, CLOSE = "<think>" * 3, "</think>"
ENDS = f"\n\n{CLOSE}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{OPEN}hm{CLOSE} a {CLOSE} b {CLOSE} yes", "yes"),
        (f"{OPEN}hm{CLOSE} a {CLOSE} b {CLOSE} c {CLOSE} yes", f"c {CLOSE} yes"),
        (f"a {OPEN} b{ENDS * 3}\n\nc", f"a {OPEN} b{ENDS * 3}\n\nc"),
        (f"a {OPEN} b{ENDS * 4}\n\nc", "c"),
        (f'a {OPEN}" b{ENDS * 2}\n\nc', f'a {OPEN}" b{ENDS * 2}\n\nc'),
        (f'a {OPEN}" b{ENDS * 3}\n\nc', "c"),
        (f"a `{OPEN}` b{ENDS}\n\nc", "c"),
    ],
)
def test_repeated_marks_count_one_by_one(text: str, shown: str) -> None:
    assert clean(text) == shown == in_pieces(text, list(range(0, len(text), 3)))


@pytest.mark.parametrize("text", ["<think>" * 100_000, "a " + "<think>" * 100_000, "<" * 700_000])
def test_a_mark_that_is_repeated_very_often_takes_little_time(text: str) -> None:
    began = time.process_time()
    clean(text)
    assert time.process_time() - began < 0.25
