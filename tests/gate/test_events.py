"""Server-sent events pass whole, in order, unharmed (G4)."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from covend.gate.sse import MAX_PARTIAL, Events

ENDS = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"])
lines = st.binary(min_size=1, max_size=8).map(
    lambda raw: b"data: " + raw.replace(b"\n", b"_").replace(b"\r", b"_")
)


@given(events=st.lists(lines, max_size=8), end=ENDS, rest=lines, cuts=st.lists(st.integers(0, 200)))
def test_however_it_is_cut_only_whole_events_pass(
    events: list[bytes], end: bytes, rest: bytes, cuts: list[int]
) -> None:
    """G4: if the source dies at any byte, the client has whole events."""
    text = b"".join(event + end for event in events) + rest
    points = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    stream, out = Events(), b""
    for start, stop in pairwise(points):
        out += stream.feed(text[start:stop])
        assert out == b"" or out.endswith((end, b"\n\n"))
        assert text.startswith(out)
    assert out + stream.rest() == text
    assert out.count(end) == len(events)


def test_an_endless_event_is_not_kept_for_ever() -> None:
    """G8."""
    stream = Events()
    assert stream.feed(b"x" * MAX_PARTIAL) == b""
    assert len(stream.feed(b"x")) == MAX_PARTIAL + 1
    assert stream.separator() == b"\n\n"
    stream.feed(b"\n\n")
    assert stream.separator() == b""
