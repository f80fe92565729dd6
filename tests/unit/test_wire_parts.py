"""The parts of the cheap path that need no server."""

import inspect
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.resources.chat.completions import AsyncCompletions

from moa_graph.models.http.chunk_merging import MERGED, merged
from moa_graph.models.http.json_bodies import loads
from moa_graph.models.openai_http.completions import PARAMETERS
from moa_graph.models.openai_http.sse import Events

STREAM = (
    b': hello\n\ndata: {"a":1}\n\ndata:{"b":2}\r\n\r\nevent: x\ndata: {"c":\ndata: 3}\n\n'
    b'id: 7\n\ndata: {"d":"\xc3\xa9"}\r\rdata: [DONE]\n\n'
)
DATA = [b'{"a":1}', b'{"b":2}', b'{"c":\n3}', b'{"d":"\xc3\xa9"}', b"[DONE]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts):
    places = [0, *sorted(cuts), len(STREAM)]
    events = Events()
    found = [event for a, b in itertools.pairwise(places) for event in events.feed(STREAM[a:b])]
    assert found == DATA


def test_json_is_read_as_the_standard_library_reads_it():
    for text in ('{"x": "\\ud800"}', '{"x": NaN}', '"plain"'):
        ours, theirs = loads(text.encode()), json.loads(text)
        assert repr(ours) == repr(theirs)
    with pytest.raises(json.JSONDecodeError, match="Expecting value"):
        loads(b'{"x": ')


def test_json_is_read_where_the_standard_library_refuses_it():
    """Servers that send a token as soon as it is there split characters."""
    assert loads(b'{"x": "\xff"}') == {"x": "\ufffd"}
    assert loads(b'{"x": %b, "y": 1}' % (b"9" * 5000)) == {"x": None, "y": 1}


def test_the_known_parameters_are_the_sdks():
    """A parameter that is new to the SDK goes through the SDK until it is entered here."""
    known = set(inspect.signature(AsyncCompletions.create).parameters)
    assert known >= PARAMETERS
    assert not PARAMETERS & {"extra_headers", "extra_query", "timeout"}


def chunk(text, field="content", **more):
    return {"choices": [{"index": 0, "delta": {field: text}, **more}]}


def test_chunks_of_one_read_are_merged_and_nothing_else_is_lost():
    given = [chunk("a"), chunk("b", logprobs={"content": []}), chunk("c"), chunk("d"), chunk("e", "reasoning")]
    texts = [each["choices"][0]["delta"] for each in merged(iter(given))]
    assert texts == [{"content": "a"}, {"content": "b"}, {"content": "cd"}, {"reasoning": "e"}]
    many = list(merged(chunk("x") for _ in range(2 * MERGED + 1)))
    assert [len(each["choices"][0]["delta"]["content"]) for each in many] == [MERGED, MERGED, 1]


def test_chunks_before_a_broken_event_precede_the_error():
    def events():
        yield chunk("a")
        raise ValueError("broken")

    found = merged(events())
    assert next(found) == chunk("a")
    with pytest.raises(ValueError, match="broken"):
        next(found)


def test_large_data_that_does_not_begin_as_json_is_not_parsed():
    """orjson checks all of it for UTF-8 before it looks at the first character: 40 ms for 16 MB."""
    with pytest.raises(ValueError, match="does not begin as JSON"):
        loads(b": keepalive\n\n" * 100_000)
    for begin in (b"", b"\xef\xbb\xbf", b" \r\n\t"):
        assert loads(begin + b'["' + b"x" * 2**20 + b'"]') == ["x" * 2**20]
