"""What travels with a message, and who is speaking on this thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from covend.runtime.answer import Answer
    from covend.runtime.cell import Cell

Envelope: TypeAlias = "tuple[object, int, int, int, Answer | None, str]"
"""(message, message id, cause id, trace id, where the answer goes, name of the sender).

A bare tuple: one is built for every message, and a named one costs ten times as much.
"""


class Origin(NamedTuple):
    """The ids of one message and its sender, as they cross processes (X1)."""

    sender: str
    msg_id: int
    cause_id: int
    trace_id: int


class _Here(threading.local):
    """The actor whose thread this is; ``None`` on any other thread."""

    cell: Cell | None = None


here = _Here()
