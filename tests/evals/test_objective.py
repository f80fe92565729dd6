"""Objective sets: MMLU-Pro and GPQA in their published formats, and tables as files of own prompts."""

import base64
import csv
import hashlib
import io
import json
import random
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from moa_graph.errors import ConfigError, InputError
from moa_graph.evals.data import assets
from moa_graph.evals.data.catalog import Asset, catalog
from moa_graph.evals.data.files import read_rows
from moa_graph.evals.prompts.grade import final_key, is_right
from moa_graph.evals.prompts.questions import own_prompts
from moa_graph.mixture.answers import choice
from tests.evals.bench import moa, scores
from tests.provider import Provider

GPQA = [
    {"Record ID": f"rec{n}", "Question": f"Which law {n}?\n", "Correct Answer": f"right {n}\n",
     "Incorrect Answer 1": "first", "Incorrect Answer 2": "second", "Incorrect Answer 3": "third",
     "High-level domain": "Physics", "Explanation": 'A "quoted", long\nexplanation.', "Canary String": "GPQA:none"}
    for n in range(6)
]  # fmt: skip
MMLU_PRO: list[dict[str, Any]] = [
    {"question_id": 70, "question": "Which gas?", "options": [f"gas {n}" for n in range(10)], "answer": "I",
     "answer_index": 8, "cot_content": "", "category": "chemistry", "src": "made"},
    {"question_id": 71, "question": "Which sum?", "options": ["3", "4", "5", "N/A", "N/A"], "answer": "B",
     "answer_index": 1, "cot_content": "", "category": "math", "src": "made"},
]  # fmt: skip


ENCRYPTED = base64.b64decode(
    "UEsDBAoACQAAALFwfF3ZwuLYHAAAABAAAAANAAAAZGF0YXNldC94LmNzdgSmqM/pnXVzjC72Pq6bU+K6mbgSvph50/fm3u5QSwcI2cLi2BwAAAAQ"
    "AAAAUEsBAh4DCgAJAAAAsXB8XdnC4tgcAAAAEAAAAA0AAAAAAAAAAQAAAKSBAAAAAGRhdGFzZXQveC5jc3ZQSwUGAAAAAAEAAQA7AAAAVwAAAAAA"
)
"""`zip -P published-word` of dataset/x.csv, which holds "Question", "Which?"."""


def gpqa_csv() -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(GPQA[0]))
    writer.writeheader()
    writer.writerows(GPQA)
    return text.getvalue()


def test_gpqa_is_read_as_its_authors_publish_it(tmp_path: Path) -> None:
    path = tmp_path / "gpqa_main.csv"
    path.write_text(gpqa_csv(), newline="")
    found = own_prompts(read_rows(path), path.name)
    draw = random.Random(0)
    for number, prompt in enumerate(found):
        order = draw.sample(range(4), 4)
        texts = [f"right {number}", "first", "second", "third"]
        lines = "\n".join(f"{letter}. {texts[place]}" for letter, place in zip("ABCD", order, strict=True))
        assert prompt.text.startswith(f"Which law {number}?\n\n{lines}\n\nEnd with a line")
        assert prompt.gold == ("ABCD"[order.index(0)],) and prompt.match == "choice" and prompt.options == 4
        assert prompt.id == f"rec{number}" and prompt.tags == ("Physics",) and prompt.confidential
    assert len({prompt.gold for prompt in found}) > 1


def test_a_row_of_gpqa_without_an_option_is_named() -> None:
    broken = [GPQA[0], {**GPQA[1], "Incorrect Answer 2": " "}]
    with pytest.raises(InputError, match="row 2 has no Incorrect Answer 2"):
        own_prompts(broken, "gpqa.csv")


def test_mmlu_pro_is_read_as_its_authors_publish_it(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "test-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(MMLU_PRO), path)
    ten, three = own_prompts(read_rows(path), path.name)
    assert ten.id == "70" and ten.options == 10 and ten.gold == ("I",) and ten.tags == ("chemistry",)
    assert "\nJ. gas 9\n\nEnd" in ten.text
    assert three.options == 3 and "N/A" not in three.text
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged Parquet file"):
        read_rows(path)


def test_parquet_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1....PAR1")
    with pytest.raises(ConfigError, match=r"pip install 'moa_graph\[parquet\]'"):
        read_rows(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,prompt\na,b\n", "each once"),
        ("prompt,gold\na,b,c\n", "more fields"),
        ('prompt,gold\n"a,b\n', "is not CSV"),
        ("prompt, prompt \na,b\n", "each once"),
        ("p\0r\0o\0m\0p\0t\0", "has NUL characters, as UTF-16 without a byte order mark has. Save it as UTF-8"),
        ("", "each once"),
    ],
)
def test_a_damaged_csv_file_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_rows(path)


def test_own_prompts_may_be_a_table(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('id,prompt,gold,match,criteria\nsum,"2 + 3, in digits?",5,number,\nrain,Write.,,,Be brief.\n')
    one, two = own_prompts(read_rows(path), path.name)
    assert (one.text, one.gold, one.match, one.criteria) == ("2 + 3, in digits?", ("5",), "number", None)
    assert (two.gold, two.criteria) == ((), "Be brief.")


@pytest.mark.parametrize("name", ["mine.csv", "MINE.CSV"])
def test_a_table_as_spreadsheets_write_it(tmp_path: Path, name: str) -> None:
    """Spaces around names, separators behind the last field and the last row, and an ending in capitals."""
    path = tmp_path / name
    path.write_text("\ufeffID ; Prompt; Gold;;\r\na;Which?;Lima;;\r\n;;;;\r\nb;Why?;x;\r\n;;;;;;;\r\n")
    assert [(each.id, each.text, each.gold) for each in own_prompts(read_rows(path), path.name)] == [
        ("a", "Which?", ("Lima",)),
        ("b", "Why?", ("x",)),
    ]


def test_a_list_in_a_table_is_a_list_and_an_interval_is_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    cells = ['["Lima", "Lima city"]', "[1, 2]", "[x, y]", '[1, "a"]', "[]", "  "]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["prompt", "gold", "tags"], *(["Which?", cell, '["a", "b"]'] for cell in cells)])
    made = own_prompts(read_rows(path), path.name)
    assert [each.gold for each in made] == [("Lima", "Lima city"), *((cell,) for cell in cells[1:5]), ()]
    assert {each.tags for each in made} == {("a", "b")}
    path.write_text('messages,gold\n"[{""role"": ""user"", ""content"": ""Hi""}]",x\n')
    assert own_prompts(read_rows(path), path.name)[0].turns == (("user", "Hi"),)


def test_a_blank_right_answer_is_none() -> None:
    """It would count every answer as wrong."""
    one, two = own_prompts([{"prompt": "a", "gold": " "}, {"prompt": "b", "gold": ["x", ""]}], "mine.jsonl")
    assert (one.gold, two.gold) == ((), ("x",))


@pytest.mark.parametrize(
    ("text", "options", "letter"),
    [
        ("The answer is (I).", 10, "I"),
        ("Answer: J", 10, "J"),
        ("B. I chose it because I know the law", 10, "B"),
        ("I think it is C, and I am sure", 4, "C"),
        ("Option I is right", 10, "I"),
        ("Answer: I, because J is wrong", 10, "I"),
        ("The answer is I since it is the largest", 10, "I"),
        ("Answer: I don't know", 10, None),
        ("The answer is: I cannot determine it.", 10, None),
        ("Answer: I\u2019d say C", 10, "C"),
        ("So it is D.", 4, "D"),
        ("So it is (E)", 4, None),
        ("Answer: K", 11, "K"),
        ("\\boxed{H}", 10, "H"),
    ],
)
def test_options_are_read_up_to_their_number(text: str, options: int, letter: str | None) -> None:
    assert final_key(text, "choice", options=options) == (letter and letter.lower())
    for each in "ABCDEFGHIJK":
        assert is_right(text, [each], "choice", options=options) == (each == letter)


@pytest.mark.parametrize(
    ("row", "letter", "options"),
    [
        ({"choices": ["a", "b", "c", "d"], "answer": 1}, "B", 4),
        ({"choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2"}, "B", 2),
        ({"choices": {"label": list("ABCDE"), "text": list("vwxyz")}, "answerKey": "E"}, "E", 5),
        ({"options": {"A": "Rome", "B": "Paris"}, "answer": "Paris", "answer_idx": "B"}, "B", 2),
        ({"options": ["Rome", "Paris"], "gold": "Paris"}, "B", 2),
        ({"options": ["B", "A"], "gold": "A"}, "A", 2),
        ({"options": [{"label": "A", "text": "a"}, {"label": "B", "text": "b"}], "answerKey": "B"}, "B", 2),
        ({"choices": [3, 4, 5], "answer": 0}, "A", 3),
        ({"choices": '["a", "b", "c"]', "answer": "2"}, "C", 3),
        ({"options": "['it''s', 'b']", "answer": "b"}, "B", 2),
        ({"A": "Rome", "B": "Paris", "C": "Bonn", "answer": "C"}, "C", 3),
        ({"option1": "Rome", "option2": "Paris", "answer": "2"}, "B", 2),
        ({"option_a": "Rome", "option_b": "Paris", "source": "x", "answer": "a"}, "A", 2),
        ({"opa": "Rome", "opb": "Paris", "opc": "Bonn", "opd": "Lima", "answer": "Bonn"}, "C", 4),
    ],
)
def test_options_in_published_forms(row: dict[str, Any], letter: str, options: int) -> None:
    """MMLU's place from 0, ARC's labels, texts by letter, columns of a table, and the right option by its text."""
    (made,) = own_prompts([{"question": "Which?", **row}], "mine.jsonl")
    assert (made.match, made.gold, made.options) == ("choice", (letter,), options)
    assert "\nA. " in made.text and "Which?" in made.text


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        ({"problem": "1/4 + 1/4?", "solution": "Not $\\boxed{1}$ but $\\boxed{\\frac{1}{2}}$."}, ("\\frac{1}{2}",)),
        ({"problem": "1 + 1?", "solution": "So $\\boxed{3}$.", "answer": "2"}, ("2",)),
        ({"question": "Where?", "answers": {"text": ["Lima", "in Lima"], "answer_start": [4, 1]}}, ("Lima", "in Lima")),
        ({"question": "Where?", "answers": {"text": [], "answer_start": []}}, ()),
        # The options of ReClor; its right one is another field.
        ({"question": "Where?", "answers": ["Lima", "Quito"], "label": 1}, ()),
    ],
)
def test_right_answers_of_math_and_squad(row: dict[str, Any], gold: tuple[str, ...]) -> None:
    assert own_prompts([row], "mine.jsonl")[0].gold == gold


@pytest.mark.parametrize(
    ("gold", "match"),
    [
        ("9 eggs at $2 are <<9*2=18>>18.\n#### 18", "number"),
        ("#### 1,800", "number"),
        ("#### Paris", "final"),
        (18, "number"),
        ([18, 18.5], "number"),
        ([18, "eighteen"], "final"),
        ("18", "final"),
    ],
)
def test_right_answers_that_are_numbers_are_compared_as_numbers(gold: Any, match: str) -> None:
    """Answers end in a sentence: of 1,294 recorded right answers to GSM8K, `final` finds 811, `number` 1,221."""
    (made,) = own_prompts([{"question": "How much a day?", "answer": gold}], "mine.jsonl")
    assert made.match == match
    (told,) = own_prompts([{"question": "How much a day?", "answer": gold}], "mine.jsonl", match="exact")
    assert told.match == "exact"
    if match == "number" and "18" in made.gold:
        assert is_right("Janet makes **$18** every day at the market.", made.gold, made.match)


def test_a_table_of_mmmlu_is_read_with_its_options(tmp_path: Path) -> None:
    path = tmp_path / "mmmlu.csv"
    path.write_text(
        "\ufeffQuestion,A,B,C,D,Answer,Subject\r\n2 + 2?,3,4,5,6,B,math\r\n,,,,,,\r\nPeru?,Quito,Lima,,,B,geo\r\n"
    )
    one, two = own_prompts(read_rows(path), path.name)
    assert (one.gold, one.options, two.gold, two.options) == (("B",), 4, ("B",), 2)
    assert one.text.startswith("2 + 2?\n\nA. 3\nB. 4\nC. 5\nD. 6\n")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"instruction": "Translate.", "input": "Hallo", "output": "Hello"}, "Translate.\n\nHallo"),
        ({"instruction": "Sort.", "input": ""}, "Sort."),
        ({"passage": "Lima is in Peru.", "question": "Where?"}, "Lima is in Peru.\n\nWhere?"),
        ({"context": "Lima.", "question": "Lima. Where?"}, "Lima. Where?"),
        ({"context": "Lima.", "prompt": "Where?"}, "Where?"),
        (
            {"Body": "87 bananas, 3 groups.", "Question": "How many in each?"},
            "87 bananas, 3 groups.\n\nHow many in each?",
        ),
        ({"instruction": "Who?", "context": "It is Bob.", "response": "Bob"}, "It is Bob.\n\nWho?"),
        ({"question": "Who?", "context": ["One.", "Two."]}, "One.\n\nTwo.\n\nWho?"),
        ({"instruction": "Is it prime?", "input": 7}, "Is it prime?\n\n7"),
        ({"instruction": "Is it even?", "input": 0}, "Is it even?\n\n0"),
        ({"instruction": "Translate the word.", "input": "the"}, "Translate the word.\n\nthe"),
        ({"instruction": "Translate this word: the", "input": "the"}, "Translate this word: the"),
        ({"question": "Who?", "context": [], "passage": float("nan")}, "Who?"),
        ({"question": "x", "messages": [{"role": "user", "content": "Who?"}], "context": {"a": 1}}, "Who?"),
        ({"prompt": None, "question": "Where?", "messages": None, "tags": None, "match": float("nan")}, "Where?"),
    ],
)
def test_no_part_of_a_question_is_left_out(row: dict[str, Any], text: str) -> None:
    """Alpaca's `input` belongs to its instruction, and a passage to its question. A null field counts as absent."""
    assert own_prompts([row], "mine.jsonl")[0].text == text


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Who?", "context": {"title": ["A"], "sentences": [["B."]]}},
        {"question": "Who?", "passage": [["B."]]},
        {"instruction": "Sort.", "input": [3, 1, 2]},
    ],
)
def test_parts_of_a_question_that_cannot_be_read_are_refused(row: dict[str, Any]) -> None:
    """HotpotQA's context is an object. Without it another question would be asked."""
    with pytest.raises(InputError, match=r"mine.jsonl, row 1: `(context|passage|input)` is .*; it must be text"):
        own_prompts([row], "mine.jsonl")


@pytest.mark.parametrize(
    "row",
    [{"prompt": "Compute a + b.", "a": 3, "b": 4, "gold": 7}, {"prompt": "Which?", "A": "x", "B": "y", "gold": "z"}],
)
def test_other_columns_are_no_options(row: dict[str, Any]) -> None:
    (made,) = own_prompts([row], "mine.jsonl")
    match = "number" if row["gold"] == 7 else "final"
    assert (made.match, made.options, made.text) == (match, None, row["prompt"])


@pytest.mark.parametrize(
    "row", [{"choices": "a or b"}, {"options": ["one"]}, {"choices": [["a"], ["b"]]}, {"options": list(range(27))}]
)
def test_options_that_cannot_be_read_are_refused(row: dict[str, Any]) -> None:
    """Without its options another question would be asked."""
    with pytest.raises(
        InputError, match=r"mine.jsonl, row 1: `(choices|options)` is .*; it must be a list of 2 to 26 texts"
    ):
        own_prompts([{"question": "Which?", "gold": "A", **row}], "mine.jsonl")


def test_prompts_in_the_forms_of_other_tools() -> None:
    rows = [
        {
            "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
            "ideal": ["4", "four"],
        },
        {"input": "3 + 3?", "target": "6", "id": None},
        {"ID": "2024-I-1", "Problem": "4 + 4?", "Solution": "...", "Answer": 8},
        {"id": 4.0, "messages": [{"role": "user", "content": [{"type": "text", "text": "5 + 5?"}]}], "gold": ""},
        "6 + 6?",
    ]
    made = own_prompts(rows, "mine.jsonl")  # type: ignore[arg-type]  # a text alone, as a list in Python may have it
    assert [each.text for each in made] == ["2 + 2?", "3 + 3?", "4 + 4?", "5 + 5?", "6 + 6?"]
    assert [each.gold for each in made] == [("4", "four"), ("6",), ("8",), (), ()]
    assert [each.id for each in made] == ["1", "2", "2024-I-1", "4", "5"]
    assert made[0].turns[0] == ("system", "Be brief.")
    with pytest.raises(InputError, match="row 1 is 7; it must be an object"):
        own_prompts([7], "mine.jsonl")  # type: ignore[list-item]  # wrong on purpose


def test_the_pronoun_is_no_option() -> None:
    assert choice("I am sure.", "ABCDEFGHIJ") is None
    assert choice("I", "ABCDEFGHIJ") == "I"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A loopback source with a zip archive, and a catalogue with a member of it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("dataset/gpqa_diamond.csv", gpqa_csv())
    body = packed.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    fields = {
        "name": "objective/gpqa_diamond.csv",
        "licence": "free",
        "url": f"http://127.0.0.1:{server.server_port}/dataset.zip",
        "sha256": hashlib.sha256(gpqa_csv().encode()).hexdigest(),
        "member": "dataset/gpqa_diamond.csv",
        "archive_sha256": hashlib.sha256(body).hexdigest(),
        "password": "published",
    }
    monkeypatch.setattr(assets, "catalog", lambda: (Asset(**fields),))
    monkeypatch.delenv("MOA_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield fields
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_is_taken_out_of_its_archive_and_both_are_checked(archive: dict[str, Any]) -> None:
    found = assets.fetch(archive["name"])
    assert found.path.read_bytes() == gpqa_csv().encode() and assets.present(archive["name"]) is not None
    found.path.unlink()
    for field, message in (("archive_sha256", "not the archive"), ("sha256", "is not the objective")):
        right, archive[field] = archive[field], "0" * 64
        with pytest.raises(InputError, match=message):
            assets.fetch(archive["name"])
        archive[field] = right
        assert assets.present(archive["name"]) is None


def test_the_published_password_opens_an_encrypted_archive(
    archive: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"Question\nWhich?\n"
    fields = {"member": "dataset/x.csv", "archive_sha256": hashlib.sha256(ENCRYPTED).hexdigest()}
    archive |= {**fields, "sha256": hashlib.sha256(text).hexdigest(), "password": "wrong"}
    monkeypatch.setattr(assets, "_download", lambda entry: ENCRYPTED)
    with pytest.raises(InputError, match=r"dataset/x.csv cannot be unpacked: Bad password"):
        assets.fetch(archive["name"])
    archive["password"] = "published-word"
    assert assets.fetch(archive["name"]).path.read_bytes() == text


def test_pages_do_not_show_what_its_authors_ask_not_to_publish(
    archive: dict[str, Any], tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("LANGSMITH_API_KEY", "ls-none")
    monkeypatch.delenv("LANGSMITH_TRACING", raising=False)
    model = ["--model", "openai:say=Which law, I think: Answer: A", "--base-url", provider.url, "--name", "one"]
    assert moa("run", archive["name"], *model, "--out", "run") == 0
    found = scores(tmp_path / "run")
    assert found["right"] + found["wrong"] == len(GPQA) and "Physics" in found["tags"]
    assert "LangSmith: not published" in capsys.readouterr().err
    assert moa("matrix", "run", "--out", "page") == 0
    pages = [path.read_text() for folder in ("run", "page") for path in (tmp_path / folder).glob("report.*")]
    assert len(pages) == 4 and not any("Which law 0?" in page for page in pages)
    assert any("ask not to publish" in page for page in pages)
    rows = [json.loads(line) for line in (tmp_path / "run/results.jsonl").read_text().splitlines()]
    assert all("Which law" in row["prompt"] for row in rows)


def test_the_catalogue_pins_every_objective_set() -> None:
    known = {entry.name: entry for entry in catalog() if entry.name.startswith("objective/")}
    assert len(known) == 4 and all(entry.sha256 and entry.url for entry in known.values())
    gpqa = known["objective/gpqa_diamond.csv"]
    assert gpqa.member and gpqa.archive_sha256 and gpqa.url and gpqa.url.endswith("dataset.zip")
