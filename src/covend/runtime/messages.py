"""Messages: typed structs, the two lanes, and the registry of what may cross processes.

Inside one process any object may be a message. What crosses processes is a ``Message`` with a
tag: ``encode`` and ``decode`` are the only way on and off the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar, NewType, TypeVar, cast

import msgspec

from covend.resolving import resolved
from covend.runtime.errors import RemoteError
from covend.runtime.exits import PLAIN, SHUTDOWN, Escalated, Exit, Failed


class Lane(Enum):
    """The two lanes of a mailbox; control is emptied before work (S11)."""

    WORK = "work"
    CONTROL = "control"


WORK = Lane.WORK
CONTROL = Lane.CONTROL

MonitorId = NewType("MonitorId", int)


class Message(msgspec.Struct, frozen=True):
    """The base of typed messages: immutable, comparable, ready for msgpack."""

    lane: ClassVar[Lane] = WORK
    tag: ClassVar[str] = ""


M = TypeVar("M", bound=Message)
_classes: dict[str, type[Message]] = {}
_decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}


def message(tag: str, *, lane: Lane = WORK) -> Callable[[type[M]], type[M]]:
    """Register a message class for the wire under ``tag`` and set its lane.

    Raises ``ValueError`` where the tag is empty or another class has it.
    """

    def register(cls: type[M]) -> type[M]:
        other = _classes.get(tag)
        same = other is not None and (other.__module__, other.__qualname__) == (
            cls.__module__,
            cls.__qualname__,
        )  # a module that is reloaded registers its classes again
        if not tag or (other is not None and not same):
            raise ValueError(
                f"message tag {tag!r} of {cls.__qualname__} must be unique and not empty"
                + (f"; {other.__qualname__} has it" if other else "")
            )
        cls.tag = tag
        cls.lane = lane
        _classes[tag] = cls
        _decoders.pop(tag, None)
        return cls

    return register


def _pack(value: Any) -> Any:
    """Give msgspec plain data for what it does not know: reasons and errors."""
    match value:
        case Failed(error=RemoteError(type_name=name, text=text)):
            return ["failed", name, text]
        case Failed(error=error):
            return ["failed", type(error).__name__, str(error)]
        case Escalated(cause=cause):
            return ["escalated", _pack(cause)]
        case Exit(kind=kind):
            return [kind]
        case _:
            raise NotImplementedError(f"a {type(value).__qualname__} cannot cross processes")


def _unpack(kind: type, value: Any) -> Any:
    if kind is not Exit or not isinstance(value, list):
        raise NotImplementedError(f"a {kind.__qualname__} cannot cross processes")
    match cast("list[Any]", value):
        case ["failed", str(name), str(text)]:
            return Failed(RemoteError(name, text))
        case ["escalated", cause]:
            return Escalated(_unpack(Exit, cause))
        case [str(plain)] if plain in PLAIN:
            return PLAIN[plain]
        case other:
            raise ValueError(f"{other!r} is no exit reason")


_encoder = msgspec.msgpack.Encoder(enc_hook=_pack)


def encode(value: Message) -> bytes:
    """Return the msgpack bytes of a registered message.

    Raises ``TypeError`` for a class without a tag and for fields that cannot cross processes.
    """
    if not type(value).tag:
        raise TypeError(f"{type(value).__qualname__} has no tag: decorate it with @message")
    try:
        return _encoder.encode(value)
    except NotImplementedError as error:
        raise TypeError(f"{type(value).__qualname__}: {error}") from None


def decode(tag: str, data: bytes | memoryview) -> Message:
    """Return the message that ``encode`` made bytes of.

    Raises ``LookupError`` for an unknown tag, ``ValueError`` for bytes that do not fit its class.
    """
    decoder = _decoders.get(tag)
    if decoder is None:
        cls = _classes.get(tag)
        if cls is None:
            raise LookupError(f"no message class is registered under the tag {tag!r}")
        decoder = _decoders[tag] = msgspec.msgpack.Decoder(resolved(cls), dec_hook=_unpack)
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, NotImplementedError) as error:
        raise ValueError(f"{tag}: {error}") from error


def registered() -> dict[str, type[Message]]:
    """Return every registered class by its tag."""
    return dict(_classes)


@message("rt.down", lane=CONTROL)
class Down(Message, frozen=True):
    """The one notice that a monitored actor is gone (S9)."""

    monitor: MonitorId
    name: str
    reason: Exit


@message("rt.soft_stop", lane=CONTROL)
class SoftStop(Message, frozen=True):
    """SIG_SOFT_STOP: admit nothing more, finish the atomic step, confirm (S17).

    ``deadline`` is absolute monotonic seconds; ``reply_to`` is the address of the actor that waits
    for the confirmation, empty where the answer of an ask is the confirmation.
    """

    epoch: int
    deadline: float
    reply_to: str = ""


@message("rt.drain_confirm", lane=CONTROL)
class DrainConfirm(Message, frozen=True):
    """Nothing is in hand any more; ``boundaries`` says where each job can go on (S17)."""

    epoch: int
    active: int = 0
    boundaries: dict[str, int] = {}


@message("rt.shutdown", lane=CONTROL)
class Shutdown(Message, frozen=True):
    """Somebody asked this actor to stop; it sees this only where it traps shutdowns."""

    reason: Exit = SHUTDOWN
