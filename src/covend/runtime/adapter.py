"""The one module that touches pykka's private surface, which pykka 5 will move.

pykka gives an actor its thread, its urn, its ``ActorRef`` and its stop flag. Its inbox is replaced
by ours, so a message sent through a pykka ref comes to the same mailbox. Actors here are not in
pykka's global registry: leaving it is a search through all of them, and its ``stop_all``, which any
actor's ``SystemExit`` sets off, must not reach ours (S12).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pykka
from pykka import ThreadingActor
from pykka import messages as pykka_messages

from covend.runtime.answer import Answer
from covend.runtime.exits import SHUTDOWN

if TYPE_CHECKING:
    from covend.runtime.cell import Cell
    from covend.runtime.workers import Workers

_STOP = cast("type[object]", pykka_messages._ActorStop)  # pyright: ignore[reportPrivateUsage]


class _Inbox:
    """pykka's inbox protocol in front of our mailbox: what its refs put arrives as ours."""

    __slots__ = ("cell",)

    cell: Cell

    def put(self, envelope: Any, /) -> None:
        """Take a pykka envelope. Its reply is settled with ours."""
        cell = self.cell
        future: pykka.Future[Any] | None = envelope.reply_to
        if isinstance(envelope.message, _STOP):
            cell.ref.stop(SHUTDOWN)
            if future is not None:
                cell.watch(lambda reason: future.set(None))
            return
        if future is None:
            cell.ref.tell(envelope.message)
            return

        def settle(answer: Answer) -> None:
            if answer.error is None:
                future.set(answer.value)
            else:
                future.set_exception((type(answer.error), answer.error, None))

        cell.ref.ask_later(envelope.message, timeout=_PYKKA_ASK).on_done(settle)

    def get(self) -> Any:
        raise NotImplementedError("the cell takes its messages from the mailbox itself")

    def empty(self) -> bool:
        return len(self.cell.mailbox) == 0


_PYKKA_ASK = 3600.0
"""Seconds after which an ask through a pykka ref is given up; the asker's own limit is sooner."""


class Host(ThreadingActor):
    """The pykka actor that lends one cell its thread."""

    thread: threading.Thread

    def __init__(self, cell: Cell, workers: Workers) -> None:
        super().__init__()
        self._cell = cell
        self._workers = workers
        cast("_Inbox", self.actor_inbox).cell = cell

    @staticmethod
    def _create_actor_inbox() -> Any:
        return _Inbox()

    def _start_actor_loop(self) -> None:
        self.thread = self._workers.run(self._actor_loop, self._cell.name)

    def _actor_loop(self) -> None:
        try:
            self._cell.run()
        finally:
            self.actor_stopped.set()


def start(cell: Cell, workers: Workers) -> Host:
    """Let ``cell`` live on a thread; raises ``RuntimeError`` where the machine has no more."""
    host = Host(cell, workers)
    host._start_actor_loop()  # pyright: ignore[reportPrivateUsage]
    return host
