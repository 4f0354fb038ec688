"""What travels with a message, what became of it, and who is speaking on this thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from covend.runtime.answer import Answer
    from covend.runtime.cell import Cell


class Origin(NamedTuple):
    """The ids of one message and its sender, as they cross processes (X1)."""

    sender: str
    msg_id: int
    cause_id: int
    trace_id: int


class Envelope(msgspec.Struct, gc=False):
    """One message from its sending to the end of its handling; the trace ring keeps it (X1).

    One object serves the mailbox and the ring, since one is made for every message. ``message``
    and ``answer`` (where the reply goes) are taken out when it is received or buried, so the ring
    keeps no payload alive. Of each event it notes the record's number, -1 until it happens, and
    monotonic nanoseconds. ``kept`` is the number at which the ring took it in last.
    """

    message: object
    answer: Answer | None
    kind: type
    sender: str
    target: str
    msg_id: int
    cause_id: int
    trace_id: int
    kept: int
    sent: int = -1
    sent_ns: int = 0
    received: int = -1
    received_ns: int = 0
    done: int = -1
    done_ns: int = 0
    outcome: str = ""
    payload: str = ""

    def empty(self) -> tuple[object, Answer | None]:
        """Take out and return what was in it: the message and its answer."""
        inside = self.message, self.answer
        self.message = self.answer = None
        return inside


class _Here(threading.local):
    """The actor whose thread this is; ``None`` on any other thread."""

    cell: Cell | None = None


here = _Here()
