"""Server-sent events, however the bytes are cut."""

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from covend.client.models import Event
from covend.client.requests import failure
from covend.client.stream import EventReader

KINDS = st.sampled_from(["intend", "call", "do", "learn"])
COMMENT = b":\n\n"


def event(seq, kind):
    return Event(seq=seq, id=f"r-{seq}", thread="q", kind=kind, act="DO", actor="a", clock=1,
                 body={"text": "a\n\nb: {}"})  # fmt: skip


def as_bytes(one, end):
    data = msgspec.json.encode(one).decode()
    return f"id: {one.seq}{end}event: {one.kind}{end}data: {data}{end}{end}".encode()


@given(
    kinds=st.lists(KINDS, max_size=6),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_stream_is_the_same_events_however_it_is_cut(kinds, cuts, end):
    """Also in the middle of a character or of a line's end."""
    sent = [event(seq, kind) for seq, kind in enumerate([*kinds, "know"], 1)]
    data = COMMENT + COMMENT.join(as_bytes(one, end) for one in sent)
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    reader = EventReader()
    found = []
    for start, stop in itertools.pairwise(places):
        found += reader.feed(data[start:stop])
    assert found == sent
    assert reader.ended and reader.after == len(sent)


def test_half_an_event_of_a_lost_connection_is_void():
    reader = EventReader()
    whole = as_bytes(event(1, "call"), "\n")
    assert reader.feed(whole[:20]) == []
    reader.begin_again()
    assert [one.seq for one in reader.feed(whole)] == [1]


def test_an_error_that_is_no_document_keeps_its_status():
    """What a proxy in between says is no JSON."""
    error = failure(502, "3", b"<html>bad gateway</html>")
    assert error.status == 502 and "502" in str(error) and error.retry_after == 3
    gate = failure(401, None, b'{"error": {"message": "no key", "code": "invalid_api_key"}}')
    assert (gate.code, str(gate)) == ("invalid_api_key", "no key")
