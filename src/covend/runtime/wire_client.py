"""A command's place on the wire: it asks something and leaves (S13)."""

from __future__ import annotations

import itertools
import os
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from covend.runtime.answer import Answer, checked_timeout
from covend.runtime.envelope import Origin
from covend.runtime.errors import ActorError

if TYPE_CHECKING:
    from covend.runtime.wire import Node


class _WallClock:
    """The clock of answers that the wire makes."""

    def now(self) -> float:
        return time.monotonic()

    def call_at(self, deadline: float, answer: Answer) -> None:
        """Nothing to do: whoever asked has the deadline in an I/O thread."""


WALL_CLOCK = _WallClock()


class Client:
    """A process without actors on the wire: for a command that asks something and leaves.

    Binds no socket and leaves nothing behind. Any thread may use it.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        # Ids of messages that no actor system gave still differ between processes.
        self._ids = itertools.count((os.getpid() << 40) + 1)

    def ask(self, address: str, message: object, timeout: float) -> Any:
        """The answer of the actor at ``NAME@NODE``, within ``timeout`` seconds.

        Raises ``Unreachable``, ``ActorDead``, ``AskTimeout``, or what the handler raised.
        """
        answer = self.ask_later(address, message, timeout)
        return answer.get()

    def ask_later(self, address: str, message: object, timeout: float) -> Answer:
        """Ask without waiting; the answer is settled after ``timeout`` seconds at the latest."""
        node, name = split(address)
        answer = Answer(WALL_CLOCK, address, checked_timeout(timeout))
        self._node.ask(node, name, message, self._origin(), answer)
        return answer

    def tell(self, address: str, message: object) -> None:
        """Tell the actor at ``NAME@NODE`` and forget."""
        node, name = split(address)
        self._node.tell(node, name, message, self._origin())

    def close(self) -> None:
        """Leave the wire; safe to call twice."""
        self._node.close()

    def _origin(self) -> Origin:
        id_ = next(self._ids)
        return Origin("", id_, 0, id_)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def split(address: str) -> tuple[str, str]:
    """The node and the name in ``NAME@NODE``. Raises ``ActorError`` for anything else."""
    name, _, node = address.rpartition("@")
    if not name or not node:
        raise ActorError(f"{address!r} is no address of another process: write NAME@NODE")
    return node, name
