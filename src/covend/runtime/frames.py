"""The frames two processes exchange, and their only way to and from bytes (S13).

A frame on the wire is three parts: the mark (``cvd`` and the version), the header (msgpack), the
body (msgpack of a registered message, of plain data, or of an error). No pickle anywhere: what a
frame can make of a receiver is a message class it registered itself, or plain data.
"""

from __future__ import annotations

from typing import Literal, cast

import msgspec

from covend.resolving import resolved
from covend.runtime.errors import (
    ActorDead,
    ActorError,
    AskTimeout,
    AskToSelf,
    MailboxFull,
    RemoteError,
    ReplyError,
    SystemStopped,
    Unreachable,
)
from covend.runtime.messages import Message, decode, encode

VERSION = 1
MARK = b"cvd" + bytes([VERSION])
MAX_BODY = 32 * 1024 * 1024
"""Bytes of one message's body, both ways; larger things belong on HTTP or in the store.

One record of a run fits in: its input, and what it is shown, as data and as text for a model.
"""
MAX_HEADER = 4096
MAX_TEXT = 4096
"""Characters of an error's text that cross the wire."""
PLAIN = ""
"""The tag of a body that is plain data (None, bool, number, text, bytes, list, dict)."""

Kind = Literal["tell", "ask", "reply", "error", "watch", "unwatch", "down"]


class FrameError(ActorError):
    """Bytes that are no frame of this version, or a value that does not fit into one."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """Where a frame belongs: everything but the message.

    ``to`` and ``sender`` are addresses. ``key`` pairs an ask with its reply and a watch with its
    down; an error with key 0 is about a frame that could not be read. The three ids are those of
    the trace, the same in both processes. ``deadline`` is absolute monotonic seconds, 0 for none.
    """

    kind: Kind
    to: str
    sender: str
    key: int = 0
    msg_id: int = 0
    cause_id: int = 0
    trace_id: int = 0
    deadline: float = 0.0
    tag: str = PLAIN


class Frame(msgspec.Struct, frozen=True):
    """One frame: its header, and its body still as bytes."""

    header: Header
    body: bytes = b""


_header_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(resolved(Header))
_plain_encoder = msgspec.msgpack.Encoder()
_plain_decoder = msgspec.msgpack.Decoder()
_error_decoder = msgspec.msgpack.Decoder(tuple[str, str])

# Errors that mean the same on both sides come back as themselves, all others as RemoteError.
SHARED_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        ActorDead,
        AskTimeout,
        AskToSelf,
        FrameError,
        MailboxFull,
        ReplyError,
        SystemStopped,
        Unreachable,
    )
}


def pack_value(value: object) -> tuple[str, bytes]:
    """The tag and the bytes of a message or of plain data.

    Raises ``FrameError`` for what cannot cross processes or is larger than ``MAX_BODY``.
    """
    try:
        if isinstance(value, Message):
            tag, body = type(value).tag, encode(value)
        else:
            tag, body = PLAIN, _plain_encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        name = type(value).__qualname__
        raise FrameError(f"a {name} cannot cross processes: {error}") from None
    if len(body) > MAX_BODY:
        name = type(value).__qualname__
        raise FrameError(f"a {name} of {len(body)} bytes is larger than the wire's {MAX_BODY}")
    return tag, body


def unpack_value(tag: str, body: bytes) -> object:
    """What ``pack_value`` made bytes of. Raises ``FrameError`` for unknown tags and bad bytes."""
    try:
        if tag == PLAIN:
            return cast(object, _plain_decoder.decode(body))
        return decode(tag, body)
    except LookupError as error:
        raise FrameError(str(error.args[0])) from None
    except (ValueError, RecursionError) as error:
        raise FrameError(f"the body does not decode: {error}") from None


def pack_error(error: BaseException) -> bytes:
    """The class name and text of an error; a remote one keeps its first name."""
    match error:
        case RemoteError(type_name=name, text=text):
            pair = (name, text)
        case _:
            names = (kind.__name__ for kind in type(error).__mro__)
            name = next((name for name in names if name in SHARED_ERRORS), type(error).__name__)
            pair = (name, str(error))
    return _plain_encoder.encode((pair[0], pair[1][:MAX_TEXT].encode(errors="replace").decode()))


def unpack_error(body: bytes) -> Exception:
    """The error to raise at the asker: itself where both sides share it, else ``RemoteError``."""
    try:
        name, text = _error_decoder.decode(body)
    except msgspec.MsgspecError as error:
        return FrameError(f"an error came back that does not decode: {error}")
    kind = SHARED_ERRORS.get(name)
    return kind(text) if kind else RemoteError(name, text)


def to_parts(frame: Frame) -> list[bytes]:
    """The three parts of a frame, as they go on the wire."""
    return [MARK, _header_encoder.encode(frame.header), frame.body]


def from_parts(parts: list[bytes]) -> Frame:
    """A frame from its parts. Raises ``FrameError`` saying what is wrong with them."""
    if len(parts) != 3:
        raise FrameError(f"a frame has 3 parts, not {len(parts)}")
    mark, header, body = parts
    if mark != MARK:
        if len(mark) == 4 and mark[:3] == MARK[:3]:
            raise FrameError(f"wire version {mark[3]} is not spoken here, only {VERSION}")
        raise FrameError("the mark is not covend's")
    if len(header) > MAX_HEADER:
        raise FrameError(f"the header has {len(header)} bytes, more than {MAX_HEADER}")
    try:
        return Frame(_header_decoder.decode(header), body)
    except msgspec.MsgspecError as error:
        raise FrameError(f"the header does not decode: {error}") from None
