"""The parts of the cheap path that need no server."""

import inspect
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.resources.chat.completions import AsyncCompletions

from moa_graph.models.openai_http.completions import PARAMETERS
from moa_graph.models.openai_http.sse import Events, loads

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
    with pytest.raises(UnicodeDecodeError):
        loads(b'{"x": "\xff"}')


def test_the_known_parameters_are_the_sdks():
    """A parameter that is new to the SDK goes through the SDK until it is entered here."""
    known = set(inspect.signature(AsyncCompletions.create).parameters)
    assert known >= PARAMETERS
    assert not PARAMETERS & {"extra_headers", "extra_query", "timeout"}
