"""The registry of what may cross processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.runtime import (
    CONTROL,
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    WORK,
    ZOMBIE,
    Down,
    DrainConfirm,
    Escalated,
    Failed,
    Message,
    MonitorId,
    RemoteError,
    Shutdown,
    SoftStop,
    decode,
    encode,
    message,
)


@message("test.point")
class Point(Message, frozen=True):
    x: int
    label: str = ""


reasons = st.recursive(
    st.sampled_from([NORMAL, SHUTDOWN, KILLED, NOPROC, ZOMBIE])
    | st.builds(lambda t: Failed(RemoteError("ValueError", t)), st.text()),
    lambda inner: inner.map(Escalated),
    max_leaves=4,
)


@given(st.integers(-(2**63), 2**63 - 1), st.text())
def test_a_message_comes_back_as_it_was(x: int, label: str) -> None:
    assert decode("test.point", encode(Point(x, label))) == Point(x, label)


@given(reasons)
def test_every_reason_crosses_processes(reason) -> None:
    back = decode("rt.down", encode(Down(MonitorId(1), "a", reason)))
    assert str(back.reason) == str(reason)
    assert back.reason.abnormal == reason.abnormal


def test_an_error_crosses_as_its_type_and_text() -> None:
    back = decode("rt.down", encode(Down(MonitorId(1), "a", Failed(KeyError("k")))))
    assert isinstance(back.reason.error, RemoteError)
    assert back.reason.error.type_name == "KeyError"


def test_the_runtimes_own_messages_are_control() -> None:
    """S11, S17."""
    assert {c.lane for c in (Down, Shutdown, SoftStop, DrainConfirm)} == {CONTROL}
    assert Point.lane is WORK


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03"])
def test_bytes_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"test\.point"):
        decode("test.point", data)


def test_tags_are_unique_and_known() -> None:
    with pytest.raises(ValueError, match="unique"):

        @message("test.point")
        class Other(Message, frozen=True):
            pass

    with pytest.raises(LookupError, match=r"test\.nobody"):
        decode("test.nobody", b"\x80")

    class Untagged(Message, frozen=True):
        pass

    with pytest.raises(TypeError, match="no tag"):
        encode(Untagged())


def test_what_cannot_cross_is_named() -> None:
    @message("test.odd")
    class Odd(Message, frozen=True):
        thing: object

    with pytest.raises(TypeError, match="object"):
        encode(Odd(object()))
