"""Final answers: what is read from a text, which answers are equal, and that no text takes long."""

import json
import time
from typing import Any

import pytest

from moa_graph.mixture.answers import AnswerReader, choice, json_objects, key, read
from moa_graph.mixture.equal_answers import normalized, same

EQUAL = [
    ("(1,200)", "(1, 200)"),
    ("\\{1,200\\}", "\\{1, 200\\}"),
    ("1,234,567", "1234567"),
    ("12{,}000", "12000"),
    ("\\$18.90", "$18.90"),
    ("x^{2}+1", "x^2 + 1"),
    ("x^{10}", "x^10"),
    ("a_{1}", "a_1"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
    ("\\boldsymbol{5}", "5"),
    ("\\left[0, 1\\right)", "[0,1)"),
    ("90^\\circ", "90\u00b0"),
    ("-\\frac12", "\\dfrac{-1}{2}"),
    ("\\frac{\\pi}{2}", "\\pi/2"),
    ("-\\frac{2\\pi}{3}", "\\frac{-2\u03c0}{3}"),
    ("\\frac{\\sqrt{21}}{5}", "\\sqrt{21}/5"),
    ("\\frac{1}{\\sqrt{2}}", "1/\\sqrt2"),
    ("\\frac{x^{2}+1}{4}", "(x^2+1)/4"),
    ("x = 5", "5"),
    ("\\mathbf{v} = (1, 2)", "(1,2)"),
    ("11,\\! 111,\\! 100", "11111100"),
    ("1 1/2", "\\frac32"),
    ("1\\tfrac{1}{2}", "3/2"),
    ("-3\u00bd", "-7/2"),
    ("x\u00b2 + a\u2081", "x^2 + a_1"),
    ("10\u207b\u00b3", "10^{-3}"),
    ("2 \u00d7 10\u00b3", "2000"),
    ("2\\cdot10^{3}", "2e3"),
    ("1.5e-3", "0.0015"),
    ("2\u03c0", "2\\pi"),
    ("(-\u221e, 3)", "(-\\infty, 3)"),
    ("\u221a2", "\\sqrt{2}"),
    ("12 345.0", "12\\,345"),
    ("(B)", "b"),
    ("\\text{(B)}", "B."),
    ("\u0661\u0662", "12"),
    ("5\\text{ million}", "5 million"),
]
DIFFERENT = [
    ("(1,200)", "(1200)"),
    ("(1,2)", "(2,1)"),
    ("a_{12}", "a_{1}2"),
    ("x^2", "x2"),
    ("1,23", "123"),
    ("10\u00b2", "102"),
    ("1 1/2", "11/2"),
    ("1\\frac{1}{2}", "11/2"),
    ("3 4", "34"),
    ("3\\;4", "34"),
    ("5\\text{ million}", "5\\text{ thousand}"),
    ("7\\text{ a.m.}", "7\\text{ p.m.}"),
    ("1/2", "0.5"),
    ("\\frac{1}{2\\pi}", "1/2\\pi"),
    ("\\frac{x+1}{2}", "x+1/2"),
    ("x = y = 5", "5"),
]
NUMBERS = [
    ("GPT-4", "4"),
    ("between 3-5", "5"),
    ("It is -5.", "-5"),
    ("(-5)", "-5"),
    ("x=\u22127", "-7"),
    ("12\u202f500 \u20ac", "12500"),
    ("12\\,500", "12500"),
    ("2 1/2 cups", "2.5"),
    ("-\\frac{3}{4}", "-0.75"),
    ("4/6", "2/3"),
    ("1/2", "0.5"),
    ("2.50", "2.5"),
    ("1/0", "1/0"),
]
LETTERS = [
    ("The correct option is B because A, C and D are wrong.", "B"),
    ("Option C is correct because A and B are not.", "C"),
    ("I would choose B over A.", "B"),
    ("The best answer is option D, not A.", "D"),
    ("A is wrong. B is wrong. C is right. D is wrong.", "C"),
    ('{"answer": "C", "reason": "A is wrong"}', "C"),
    ("the answer is (b)", "B"),
    ("ANSWER: c", "C"),
    ("d", "D"),
    ("The answer is a combination. I pick (C).", "C"),
    ("So it's D. A plane cannot be.", "D"),
    ("The answer is\n\n**(B)**", "B"),
    ("The answer is neither.", None),
    ("<answer>\nB\n</answer>\nIt is not (A).", "B"),
]
FINAL = [
    ("The answer is:\n\n42", "42"),
    ("The answer is \\[\n\\frac{1}{2}\n\\]", "\\frac{1}{2}"),
    ("The answer is:\n**42**\n\nI hope this helps!", "42"),
    ("### Final Answer:\n\\[\n8\n\\]", "8"),
    ("<answer>8</answer>", "8"),
    ("<answer>\n8\n</answer>", "8"),
    ("Well.\n<answer>\nSo 3 < 5, and x is\n8\n</answer>\n", "8"),
    ("The answer is <answer>8</answer>.", "8"),
    ("<Final_Answer>The answer is 8</Final_Answer> <answer></answer>", "8"),
    ('<answer>{"answer": 8}</answer>', "8"),
    ("Final Answer: The final answer is 8. I hope it is correct.", "8"),
    ("```text\n8\n```", "8"),
    ('{"reason": "2 + 2", "answer": 4}', "4"),
    ("The answer to the question is 8.", "8"),
    ("The answer should be 8.", "8"),
    ("Answer\uff1a8", "8"),
    ("The answer is 5. Let me check: 2 + 3 = 5.", "5"),
    ("The answer is unknown.\n#### 7", "7"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_forms_of_one_answer_are_equal(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_answers_differ(one: str, other: str) -> None:
    assert not same(one, other)


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_equal_numbers_have_one_form(text: str, number: str) -> None:
    assert key(text, AnswerReader(read="number")) == number


@pytest.mark.parametrize(("text", "letter"), LETTERS)
def test_the_chosen_letter_is_read(text: str, letter: str | None) -> None:
    assert choice(text) == letter


@pytest.mark.parametrize(("text", "answer"), FINAL)
def test_the_final_answer_is_read(text: str, answer: str) -> None:
    assert key(text) == normalized(answer), read(text)


@pytest.mark.parametrize(
    "text",
    [
        "answer is" + " " * 20_000,
        "answer" + " \t" * 10_000 + "is",
        "answer is:" + "\n" * 20_000,
        "answer is\n" * 2_000,
        "best option is" + "(" * 20_000,
        "correct" + " " * 20_000 + "x",
        "A" + " " * 20_000,
        '{"answer"' * 2_000,
        "<answer> " + "a" * 20_000,
        "<answer>a</answer>" * 1_000,
        "<answer>" * 2_000 + "</answer>" * 200,
        "```" * 6_000 + " x",
        "^{" * 10_000,
        "\\\\" * 10_000,
        "1 " * 10_000,
        "1 1/" * 5_000,
        "12\\,345" * 2_000,
        "\u00b2" * 20_000,
        "5\\text{" * 3_000,
        " " * 20_000 + "1",
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """A search in quadratic time would take seconds."""
    began = time.process_time()
    for kind in ("final", "choice", "number", "boxed"):
        key(text, AnswerReader(read=kind))
    assert time.process_time() - began < 1


def test_a_text_that_is_almost_json_is_decoded_a_few_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, decode = [0], json.JSONDecoder.raw_decode

    def counting(self: json.JSONDecoder, text: str, place: int = 0) -> Any:
        try:
            value, end = decode(self, text, place)
        except json.JSONDecodeError as error:
            decoded[0] += error.pos - place
            raise
        decoded[0] += end - place
        return value, end

    monkeypatch.setattr(json.JSONDecoder, "raw_decode", counting)
    assert [*json_objects('{"b": ' * 150 + "[" + "1," * 2_000_000)] == []
    assert decoded[0] < 1_500_000
    assert [*json_objects("{" * 190 + '{"a": 1}' + "x" * 150_000)] == [{"a": 1}]
