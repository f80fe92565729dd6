"""Reading a batch: every form of a line, every kind of bad line, shards."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from moa_graph.batch.questions import WHOLE, BadLine, Question, Shard, count, read, require_lines
from moa_graph.errors import InputError


def parsed(tmp_path: Path, *lines: bytes, shard: Shard = WHOLE) -> list[Question | BadLine]:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    return list(read(path, shard))


def one(tmp_path: Path, value: Any) -> Question | BadLine:
    (entry,) = parsed(tmp_path, value if isinstance(value, bytes) else json.dumps(value).encode())
    return entry


def test_a_bad_line_takes_no_id_from_a_good_one(tmp_path: Path) -> None:
    entries = parsed(
        tmp_path, b'{"id": 0, "prompt": "a"}', b"{", b'{"id": 2, "prompt": "c"}', b'{"id": 2, "prompt": "d"}'
    )
    assert [isinstance(entry, Question) for entry in entries] == [True, False, True, False]


USER = {"role": "user", "content": "Why?"}


@pytest.mark.parametrize(
    ("value", "name", "messages"),
    [
        ("Why?", 1, [USER]),
        ([USER], 1, [USER]),
        ({"prompt": "Why?"}, 1, [USER]),
        ({"prompt": "Why?", "id": "a-7", "answer": "left alone"}, "a-7", [USER]),
        ({"messages": [{"role": "system", "content": "Short."}, USER], "id": 12}, 12, None),
        ({"messages": [USER], "prompt": None, "id": None}, 1, [USER]),
        (b'\xef\xbb\xbf"Why?"', 1, [USER]),
    ],
)
def test_forms(tmp_path: Path, value: Any, name: Any, messages: Any) -> None:
    entry = one(tmp_path, value)
    assert isinstance(entry, Question), entry
    assert (entry.line, entry.id) == (1, name)
    assert entry.messages == (messages or value["messages"])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8 (byte 1)"),
        (b"[" * 100_000, "nested too deeply"),
        (b"7", "got 7"),
        (b"null", "got nothing"),
        (b"1" * 5000, "too long"),
        ("  ", "blank"),
        ([], "there are none"),
        ({}, 'give either "prompt" (text) or "messages" (a list), got an object with nothing'),
        ({"id": 1, "question": "Why?"}, '(a list), got an object with "id", "question"'),
        ({"prompt": "a", "messages": [USER]}, 'give either "prompt"'),
        ({"prompt": [USER]}, '"prompt" must be text'),
        ({"messages": "Why?"}, '"prompt" must be text'),
        ({"prompt": "Why?", "id": True}, "got true"),
        ({"prompt": "Why?", "id": 1.5}, "got 1.5"),
        ({"messages": [3]}, "expected a message"),
        (["hi"], 'messages[0]: expected a message with role and content, got "hi"'),
        ({"messages": [["user", "hi"]]}, "messages[0]: expected a message"),
        ({"messages": [{"role": "assistant", "content": "Short."}]}, "no question"),
        ({"messages": [{"role": "user", "content": [{"type": "film"}]}]}, '"film" is not supported'),
    ],
)
def test_a_bad_line_says_why(tmp_path: Path, value: Any, reason: str) -> None:
    entry = one(tmp_path, value)
    assert isinstance(entry, BadLine)
    assert reason in entry.reason


def test_a_bad_line_does_not_end_the_file_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    found = parsed(tmp_path, b'"a"', b"", b"{", b"   ", '"b\u2028c"'.encode(), b'"d"')
    assert [(type(e).__name__, e.line) for e in found] == [
        ("Question", 1),
        ("BadLine", 3),
        ("Question", 5),
        ("Question", 6),
    ]
    assert isinstance(found[2], Question) and found[2].messages[0]["content"] == "b\u2028c"


def test_an_id_names_one_question(tmp_path: Path) -> None:
    rows = [b'{"id": "x", "prompt": "a"}', b'{"id": "x", "prompt": "b"}', b'{"id": 4, "prompt": "c"}', b'"d"']
    found = parsed(tmp_path, *rows)
    assert [type(e) for e in found] == [
        Question,
        BadLine,
        Question,
        Question,
    ]  # the last one has no id, and its number is not one


LINES = '"one"\n"two"\n'


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (LINES.encode("utf-16"), "UTF-16 or UTF-32 text: save it as UTF-8"),
        (LINES.encode("utf-16-be"), "UTF-16 text without a mark, or binary"),
        (LINES.encode("utf-32"), "UTF-16 or UTF-32 text"),
        (gzip.compress(LINES.encode(), mtime=0), "compressed: unpack it"),
        (b"PAR1....", "a Parquet file"),
        (LINES.replace("\n", "\r").encode(), "lines end with a carriage return alone"),
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_a_file_without_lines_of_text_is_one_error(tmp_path: Path, data: bytes, kind: str, *, text: bool) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"mine is .*{kind}"):
        require_lines(path, "mine", text=text)


def test_one_json_value_over_several_lines_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(json.dumps([{"prompt": "Why?"}], indent=1))
    with pytest.raises(InputError, match="one JSON value over several lines"):
        require_lines(path, "mine")
    require_lines(path, "mine", text=True)


@pytest.mark.parametrize("header", ["id,prompt", '"id";"prompt"', "question\tlabel"])
def test_a_table_with_a_header_is_one_error(tmp_path: Path, header: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f'{header}\n1,"Why?"\n')
    with pytest.raises(InputError, match="mine is CSV: write each row as a JSON object"):
        require_lines(path, "mine")
    require_lines(path, "mine", text=True)


@pytest.mark.parametrize("questions", [["Why?"], [{"prompt": "Why?"}, {"prompt": "How?"}], ["Why?" * 50_000]])
def test_one_json_list_on_one_line_is_one_error(tmp_path: Path, questions: list[Any]) -> None:
    """As `json.dump` writes it. It was read as the messages of one question."""
    path = tmp_path / "in.json"
    path.write_text(json.dumps(questions) + "\n")
    with pytest.raises(InputError, match="one JSON list on one line"):
        require_lines(path, "mine")
    require_lines(path, "mine", text=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'["one"]\n["two"]\n',
        b"[]",
        b'[{"type": "human", "content": "a"}]',
        b'[{"content": "' + b"a" * 100_000 + b'", "role": "user"}]',
        b"\n\n",
        b"\xef\xbb\xbf" + LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        b'"one"\r',
        b'[{"role": "user", "content": "a"}]',
        b'"one"\n{\n',
        b'"one, two"\n',
        b'{"id": 1, "prompt": "x"}\n',
        b'"one"\n"\0"\n',
    ],
)
def test_other_files_are_read_line_by_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(data)
    require_lines(path, "mine")


def test_a_long_id_is_shortened_only_for_the_ledger(tmp_path: Path) -> None:
    entry = one(tmp_path, {"id": "x" * 500, "prompt": "a"})
    assert isinstance(entry, Question)
    assert entry.id == "x" * 500 and len(entry.item) < 100


def test_shards_share_the_lines_out(tmp_path: Path) -> None:
    rows = [json.dumps(f"q{n}").encode() for n in range(23)]
    shares = [parsed(tmp_path, *rows, shard=Shard(n, 5)) for n in range(1, 6)]
    assert sorted(e.line for share in shares for e in share) == list(range(1, 24))
    assert {len(share) for share in shares} == {4, 5}
    assert [count(tmp_path / "in.jsonl", Shard(n, 5)) for n in range(1, 6)] == [len(s) for s in shares]


def test_shard_is_written_i_of_n() -> None:
    assert Shard.parse("2/8") == Shard(2, 8)
    for wrong in ("0/4", "5/4", "1", "a/b", "", "1/0", "-1/4", "1/4/2"):
        with pytest.raises(InputError, match="1/4"):
            Shard.parse(wrong)
