"""The phylactery as an actor: the one writer of the durable store (D2)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from covend.phylactery.records import Record
from covend.phylactery.store import Store, StoreError, open_store
from covend.phylactery.writer import MAX_BATCH, Done, GroupCommit
from covend.runtime import Actor, Exit, MailboxSpec, Message, ReplyError, Shutdown

log = logging.getLogger(__name__)


class Append(Message, frozen=True):
    """Store these records, all or none.

    Asked, it is answered with how many were new once they are durable; told, nobody waits.
    """

    records: list[Record]


class Query(Message, frozen=True):
    """Answered with records as plain dicts (``seq``, ``id``, ``thread``, …, ``body``).

    ``after`` is a ``seq``; ``limit=None`` is all of them.
    """

    kind: str | None = None
    thread: str | None = None
    after: int = 0
    limit: int | None = None
    newest_first: bool = True


class Latest(Message, frozen=True):
    """Answered with the newest record of this kind in this thread, or None."""

    kind: str
    thread: str


class _Commit(Message, frozen=True):
    """Goes to the end of our own queue: all that waited before it shares one commit."""


class _Leave(Message, frozen=True):
    """Goes to the end of our own queue: what was told before the shutdown is stored first."""

    reason: Exit


class Phylactery(Actor):
    """Keeps the records of one box; group commit, acknowledged means durable (D2).

    What cannot be stored (disk full, forged) or read (a damaged record) is refused to its asker
    with a ``ReplyError`` and the actor lives; a damaged file keeps it from starting.
    """

    mailbox = MailboxSpec(bound=None)  # what must be durable is not refused for want of a slot
    trap_shutdown = True  # a shutdown overtakes what is queued: see _Leave

    def __init__(
        self,
        path: str | Path,
        *,
        max_batch: int = MAX_BATCH,
        open_with: Callable[[str | Path], Store] = open_store,
    ) -> None:
        self._path = path
        self._max_batch = max_batch
        self._open_with = open_with

    def on_start(self) -> None:
        self.store = self._open_with(self._path)
        self._group = GroupCommit(self.store, self._max_batch)

    def on_receive(self, message: object) -> object:
        match message:
            case Append(records=records):
                promise = self.ctx.later()
                first = self._group.waiting == 0
                if self._group.add(records, self._answer(promise.reply, promise.fail)):
                    self._group.commit()
                elif first:
                    self.ctx.tell(self.ctx.me, _Commit())
                return promise
            case _Commit():
                self._group.commit()
                return None
            case Query() | Latest():
                self._group.commit()  # whoever wrote before reading reads what he wrote
                return self._read(message)
            case Shutdown(reason=reason):
                self.ctx.tell(self.ctx.me, _Leave(reason))
                return None
            case _Leave(reason=reason):
                self.ctx.stop(reason)
                return None
            case _:
                raise ReplyError(f"the phylactery does not know {type(message).__name__}")

    def on_stop(self, reason: Exit) -> None:
        self._group.commit()
        self.store.close()

    def _read(self, message: Query | Latest) -> object:
        try:
            if isinstance(message, Latest):
                return self.store.latest(message.kind, message.thread)
            return self.store.query(
                kind=message.kind,
                thread=message.thread,
                after=message.after,
                limit=message.limit,
                newest_first=message.newest_first,
            )
        except StoreError as error:
            raise ReplyError(f"not read: {error}") from error

    def _answer(
        self, reply: Callable[[object], bool], fail: Callable[[BaseException], bool]
    ) -> Done:
        def done(outcome: int | Exception) -> None:
            if isinstance(outcome, int):
                reply(outcome)
            elif not fail(ReplyError(f"not stored: {outcome}")):
                log.error("records were not stored, and nobody waits to hear it: %s", outcome)

        return done
