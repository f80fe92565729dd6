"""`moa batch` with untrusted lines, and in folders that other users can write to."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from moa_graph import ConfigError, Ledger, Mixture, create_moa
from moa_graph.batch import Batch
from moa_graph.batch.questions import WHOLE, Question, read
from tests.provider import Provider

BAD = [
    b"{",
    b"\xff\xfe",
    b"7",
    b"[" * 50_000,
    b"9" * 5_000,
    b'{"id": NaN, "prompt": "p"}',
    b'{"prompt": NaN}',
    b'[{"role": "user", "content": [{"type": "text", "text": "x", "n": NaN}]}]',
    b'[{"role": "user", "content": [{"type": "text", "text": "x", "n": Infinity}]}]',
    b'{"id": [], "prompt": "p"}',
    b'{"id": 1.5, "prompt": "p"}',
    b'{"messages": {"role": "user"}}',
    b'{"messages": [null]}',
    b'{"messages": [{"role": 7, "content": "x"}]}',
    b'{"messages": [{"content": "x"}]}',
    b'{"messages": [{"role": "user", "content": 7}]}',
    b'{"messages": [{"role": "tool", "content": "x"}]}',
    b'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}',
]
ODD = [
    '{"id": "emoji \\ud83d", "prompt": "p"}',
    '{"id": "emoji \\ud83c", "prompt": "p"}',
    '{"id": "a\\u0000b", "prompt": "p"}',
    '{"id": "", "prompt": "p"}',
    '{"id": "' + "x" * 500 + '", "prompt": "p"}',
    '{"id": "../../etc/passwd", "prompt": "p"}',
    '{"id": "\\u202e", "prompt": "p"}',
    '{"id": -5, "prompt": "p"}',
    '{"id": 7' + "0" * 4_000 + ', "prompt": "p"}',
    '{"prompt": "\\ud83d"}',
    '{"prompt": "a\\u0000b"}',
    '"plain"',
]


def mixture(provider: Provider) -> Mixture:
    def spec(name: str) -> dict[str, Any]:
        return {"model": f"openai:{name}", "base_url": provider.url}

    return Mixture(proposers=[spec("tok=4-a")], aggregator=spec("tok=4-agg"), max_attempts=1)


async def run(provider: Provider, folder: Path) -> list[dict[str, Any]]:
    whole = mixture(provider)
    with Ledger(folder / "out.ledger", run="batch") as ledger:
        graph = create_moa(whole, ledger=ledger)
        await Batch(
            graph=graph, source=folder / "in.jsonl", target=folder / "out.jsonl", ledger=ledger, who=whole.hash
        ).run()
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


async def test_no_line_stops_the_others(provider: Provider, tmp_path: Path) -> None:
    lines = [part for bad in BAD for part in (bad, b'"good"')] + [line.encode() for line in ODD]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    rows = await run(provider, tmp_path)
    assert len(rows) == len(lines)
    answered = [row["line"] for row in rows if row["answer"]]
    assert answered == [n for n, line in enumerate(lines, 1) if line not in BAD]
    assert provider.stats()["requests"] == 2 * len(answered)


async def test_the_same_lines_again_cost_nothing_wherever_new_ones_are_put_in(
    provider: Provider, tmp_path: Path
) -> None:
    lines = [json.dumps(f"question {i}") for i in range(6)] + ['"twice"', '"twice"', '{"id": "a", "prompt": "twice"}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    await run(provider, tmp_path)
    assert provider.stats()["requests"] == 2 * len(lines)
    provider.reset()
    (tmp_path / "in.jsonl").write_text("\n".join(['"new at the top"', *lines[:3], '"new inside"', *lines[3:]]))
    rows = await run(provider, tmp_path)
    assert provider.stats()["requests"] == 4 and all(row["answer"] for row in rows)
    assert [row["id"] for row in rows] == [*range(1, 11), "a"]


def test_a_line_without_an_id_and_an_id_that_is_its_number_are_two_questions(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 2, "prompt": "a"}\n"b"\n{"id": "2", "prompt": "c"}\n')
    entries = list(read(tmp_path / "in.jsonl", WHOLE))
    assert [isinstance(entry, Question) for entry in entries] == [True, True, False]


def test_items_of_odd_ids_are_all_different_and_every_encoding_has_them(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n".join(ODD))
    items = [entry.item for entry in read(tmp_path / "in.jsonl", WHOLE) if isinstance(entry, Question)]
    assert len(set(items)) == len(ODD) and all(item.encode() is not None and len(item) <= 200 for item in items)


@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "folder"])
async def test_a_planted_part_file_is_refused_and_what_it_leads_to_is_untouched(
    provider: Provider, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "in.jsonl").write_text('"q"\n')
    precious, part = tmp_path / "precious.txt", tmp_path / "out.jsonl.part"
    precious.write_text("years of work")
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "folder":
        part.mkdir()
    else:
        part.symlink_to(precious if kind == "link" else tmp_path / "nowhere")
    with pytest.raises((ConfigError, IsADirectoryError), match=r"out\.jsonl\.part"):
        await run(provider, tmp_path)
    assert precious.read_text() == "years of work" and not (tmp_path / "nowhere").exists()
    assert provider.stats()["requests"] == 0


async def test_an_output_that_is_a_link_is_replaced_and_not_followed(provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('"q"\n')
    (tmp_path / "precious.txt").write_text("years of work")
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "precious.txt")
    assert (await run(provider, tmp_path))[0]["answer"]
    assert (tmp_path / "precious.txt").read_text() == "years of work" and not (tmp_path / "out.jsonl").is_symlink()
