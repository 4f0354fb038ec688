"""Whatever bytes come, a frame is what was packed or a FrameError (S13)."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.runtime import (
    ActorDead,
    AskTimeout,
    DrainConfirm,
    MailboxFull,
    RemoteError,
    ReplyError,
    SoftStop,
    Unreachable,
)
from covend.runtime.frames import (
    MARK,
    Frame,
    FrameError,
    Header,
    from_parts,
    pack_error,
    pack_value,
    to_parts,
    unpack_error,
    unpack_value,
)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
headers = st.builds(
    Header,
    kind=st.sampled_from(["tell", "ask", "reply", "error", "watch", "unwatch", "down"]),
    to=st.text(max_size=60),
    sender=st.text(max_size=60),
    key=st.integers(0, 2**63 - 1),
    msg_id=st.integers(0, 2**63 - 1),
    cause_id=st.integers(0, 2**63 - 1),
    trace_id=st.integers(0, 2**63 - 1),
    deadline=st.floats(0, 1e12),
    tag=st.text(max_size=30),
)


@given(headers, st.binary(max_size=100))
def test_a_frame_comes_back_as_it_was(header: Header, body: bytes) -> None:
    frame = Frame(header, body)
    assert from_parts(to_parts(frame)) == frame


@given(plain)
def test_plain_data_comes_back_as_it_was(value: object) -> None:
    assert unpack_value(*pack_value(value)) == value


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_noise_is_never_anything_but_a_frame_error(parts: list[bytes]) -> None:
    with pytest.raises(FrameError):
        from_parts(parts)


@given(st.binary(max_size=120))
def test_a_noisy_header_is_a_header_or_a_frame_error(noise: bytes) -> None:
    try:
        frame = from_parts([MARK, noise, b""])
    except FrameError:
        return
    assert msgspec.msgpack.decode(noise, type=Header) == frame.header


@given(st.sampled_from(["", "rt.soft_stop", "rt.down", "nothing.known"]), st.binary(max_size=80))
def test_a_noisy_body_is_a_value_or_a_frame_error(tag: str, noise: bytes) -> None:
    try:
        value = unpack_value(tag, noise)
    except FrameError:
        return
    assert pack_value(value)[0] == tag


def test_registered_messages_come_back_as_their_class() -> None:
    for value in (SoftStop(3, time.monotonic(), "x@y"), DrainConfirm(3, 0, {"job": 2})):
        assert unpack_value(*pack_value(value)) == value


@pytest.mark.parametrize("kind", [ActorDead, AskTimeout, MailboxFull, ReplyError, Unreachable])
def test_shared_errors_come_back_as_themselves(kind: type[Exception]) -> None:
    class Special(kind):  # type: ignore[valid-type, misc]
        """A subclass that the other side does not know."""

    for made in (kind, Special):
        back = unpack_error(pack_error(made("what and where")))
        assert type(back) is kind
        assert str(back) == "what and where"


def test_other_errors_keep_their_name_and_text_over_any_number_of_hops() -> None:
    error: BaseException = ZeroDivisionError("by\ud800 zero" + "!" * 100_000)
    for _ in range(3):
        error = unpack_error(pack_error(error))
        assert isinstance(error, RemoteError)
        assert error.type_name == "ZeroDivisionError"
        assert error.text.startswith("by? zero!")
        assert len(error.text) <= 4096
    assert isinstance(unpack_error(b"\xc1"), FrameError)
