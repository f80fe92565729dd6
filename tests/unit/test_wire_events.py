"""Server-sent events come out the same however the bytes are cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_graph.wire.events import Events, loads

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
