"""The phylactery as an actor: the one writer of the durable store (D2)."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from covend.phylactery.errors import Conflict, InDoubt, StoreError
from covend.phylactery.messages import (
    Append,
    Due,
    Find,
    Latest,
    NextDue,
    OpenCalls,
    Purge,
    Query,
    Tasks,
    Thread,
    Threads,
    Unfinished,
)
from covend.phylactery.store import Store, open_store
from covend.phylactery.writer import MAX_BATCH, Done, GroupCommit
from covend.runtime import Actor, Exit, MailboxSpec, Message, Promise, ReplyError, Shutdown

log = logging.getLogger(__name__)

PURGE_SECONDS = 600.0
"""How often ended runs are looked through for what has passed its retention."""
DAY_MICROSECONDS = 86_400 * 1_000_000
PATIENCE = 16
"""How often at most a commit lets others go first, as long as that brings more to store."""


class _Commit(Message, frozen=True):
    """Goes to the end of our own queue: all that waited before it shares one commit.

    ``turns`` is how often others had theirs first.
    """

    turns: int = 0


class _Leave(Message, frozen=True):
    """Goes to the end of our own queue: what was told before the shutdown is stored first."""

    reason: Exit


class _PurgeOld(Message, frozen=True):
    """Our own timer: purge what has passed its retention."""


class _PurgeMore(Message, frozen=True):
    """Goes to the end of our own queue, so that appends get between two batches of a purge."""


class Phylactery(Actor):
    """Keeps the records of one box; group commit, acknowledged means durable (D2).

    ``where`` is a path or a ``postgresql://`` address. With ``retention_days`` the working records
    of a run are emptied so long after it ended (D4), otherwise only when asked to (``Purge``).

    What cannot be stored (disk full, forged, in conflict) or read (a damaged record) is refused to
    its asker with a ``ReplyError`` and the actor lives; a damaged store keeps it from starting. So
    that one old record does not keep others from starting, they ask for ``damaged`` ones too.
    """

    mailbox = MailboxSpec(bound=None)  # what must be durable is not refused for want of a slot
    trap_shutdown = True  # a shutdown overtakes what is queued: see _Leave

    def __init__(
        self,
        where: str | Path,
        *,
        retention_days: float | None = None,
        max_batch: int = MAX_BATCH,
        open_with: Callable[[str | Path], Store] = open_store,
        purge_seconds: float = PURGE_SECONDS,
    ) -> None:
        self._where = where
        self._retention_days = retention_days
        self._max_batch = max_batch
        self._open_with = open_with
        self._purge_seconds = purge_seconds
        self._purges: list[_Purging] = []

    def on_start(self) -> None:
        self.store = self._open_with(self._where)
        self._group = GroupCommit(self.store, self._max_batch)
        if self._retention_days is not None:
            self.ctx.timer("purge", 0.0, _PurgeOld())

    def on_receive(self, message: object) -> object:
        match message:
            case Append():
                return self._append(message)
            case _Commit(turns=turns):
                self._commit(turns)
            case Purge(before=before):
                promise = self.ctx.later()
                self._purge(_Purging(before, self._answer(promise.reply, promise.fail)))
                return promise
            case _PurgeMore():
                self._purge_batch()
            case _PurgeOld():
                self._purge_old()
            case Shutdown(reason=reason):
                self.ctx.tell(self.ctx.me, _Leave(reason))
            case _Leave(reason=reason):
                self.ctx.stop(reason)
            case _:
                return self._read(message)
        return None

    def on_stop(self, reason: Exit) -> None:
        self._group.commit()
        self.store.close()

    def _append(self, message: Append) -> Promise:
        """Take records into the group that is committed next."""
        promise = self.ctx.later()
        first = self._group.waiting == 0
        chain = [message.records, message.then] if message.then else [message.records]
        full = self._group.add(chain, self._answer(promise.reply, promise.fail))
        if full:
            self._group.commit()
        elif first:
            self.ctx.tell(self.ctx.me, _Commit())
        return promise

    def _commit(self, turns: int) -> None:
        """Commit once nobody who can run has more to store: the more share it, the less it costs.

        The runs take turns at one processor core, so whoever is about to append has to be let go
        first. Alone, that is over at once.
        """
        if not self._group.waiting:
            return  # somebody read meanwhile, or the group was full
        os.sched_yield()
        if turns < PATIENCE and self.ctx.waiting():
            self.ctx.tell(self.ctx.me, _Commit(turns + 1))
        else:
            self._group.commit()

    def _read(self, message: object) -> object:
        self._group.commit()  # whoever wrote before reading reads what he wrote
        try:
            return _read(self.store, message)
        except StoreError as error:
            raise ReplyError(f"not read: {error}") from error

    # ── the purge, batch by batch (D4) ───────────────────────────────────────────────────────

    def _purge(self, purging: _Purging) -> None:
        self._purges.append(purging)
        if len(self._purges) == 1:
            self.ctx.tell(self.ctx.me, _PurgeMore())

    def _purge_batch(self) -> None:
        purging = self._purges[0]
        self._group.commit()
        try:
            emptied = self.store.purge(purging.before)
        except StoreError as error:
            purging.done(error)
            emptied = 0
        else:
            purging.emptied += emptied
            if emptied == 0:
                purging.done(purging.emptied)
        if emptied == 0:
            del self._purges[0]
        if self._purges:
            self.ctx.tell(self.ctx.me, _PurgeMore())

    def _purge_old(self) -> None:
        self.ctx.timer("purge", self._purge_seconds, _PurgeOld())
        if not self._purges and self._retention_days is not None:
            before = time.time_ns() // 1000 - int(self._retention_days * DAY_MICROSECONDS)
            self._purge(_Purging(before, _logged))

    def _answer(
        self, reply: Callable[[object], bool], fail: Callable[[BaseException], bool]
    ) -> Done:
        def done(outcome: int | Exception) -> None:
            if isinstance(outcome, int):
                reply(outcome)
                return
            refusal = _refusal(outcome)
            if not fail(ReplyError(refusal)):
                log.error("%s (nobody waits to hear it)", refusal)

        return done


class _Purging:
    """A purge under way: up to which clock, who waits, and what was emptied so far."""

    def __init__(self, before: int, done: Done) -> None:
        self.before = before
        self.done = done
        self.emptied = 0


def _read(store: Store, message: object) -> object:
    match message:
        case Query():
            return store.query(**msgspec.structs.asdict(message))
        case Latest(kind=kind, thread=thread):
            return store.latest(kind, thread)
        case Thread(name=name):
            return store.thread(name)
        case Threads(state=state, parent=parent, after=after, limit=limit, newest_first=newest):
            return store.threads(
                state=state, parent=parent, after=after, limit=limit, newest_first=newest
            )
        case Unfinished(kinds=kinds):
            return store.unfinished(kinds)
        case Find(id=name):
            return store.find(name)
        case Tasks(did=did, state=state, after=after, limit=limit, thread=thread):
            return store.tasks(did=did, state=state, after=after, limit=limit, thread=thread)
        case OpenCalls(thread=thread, after=after, limit=limit):
            return store.open_calls(thread=thread, after=after, limit=limit)
        case Due(now=now, limit=limit):
            return store.due(now, limit)
        case NextDue(after=after):
            return store.next_due(after)
        case _:
            raise ReplyError(f"the phylactery does not know {type(message).__name__}")


def _refusal(error: Exception) -> str:
    """What an asker is told; see ``messages``."""
    match error:
        case Conflict():
            return f"conflict: {error}"
        case InDoubt():
            return f"not known to be stored: {error}"
        case _:
            return f"not stored: {error}"


def _logged(outcome: int | Exception) -> None:
    if isinstance(outcome, Exception):
        log.error("ended runs were not purged: %s", outcome)
    elif outcome:
        log.info("%d records of ended runs were purged", outcome)
