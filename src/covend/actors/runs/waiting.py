"""Those who wait for news of runs and tasks, and whose pages are open (P18).

Each of them holds a promise; no thread waits with him.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from covend.actors.runs.messages import PageClosed, Wrote
from covend.actors.runs.reading import Question, ended
from covend.questions import EndOf, ListTasks, RecordsOf
from covend.runtime import Context, Message, Promise

MAX_WAIT_SECONDS = 60.0
LIVE_SECONDS = 15.0
"""A page that asked so lately is open: between two long polls nobody is told otherwise."""

News: TypeAlias = RecordsOf | EndOf | ListTasks
"""What may be waited for: records of a run, its end, a change of an inbox."""


class Expired(Message, frozen=True):
    """A timer's message: somebody has waited long enough."""

    run: str | None
    number: int


@dataclass(frozen=True, slots=True)
class Waiter:
    """Somebody who waits for news."""

    question: News
    promise: Promise


class Waiting:
    """Part of one actor, in its handlers alone; ``answer`` says what there is now."""

    def __init__(self, ctx: Context, answer: Callable[[Question], object]) -> None:
        self.ctx = ctx
        self.answer = answer
        self.waiters: dict[str | None, dict[int, Waiter]] = {}
        """By the run that they want news of; None: of people's inboxes."""
        self.number = 0
        self.pages: set[str] = set()
        """Who looks at a page of theirs."""

    def hold(self, question: News) -> Promise:
        """Answer it when there is news, or at the end of its wait."""
        run = None if isinstance(question, ListTasks) else question.id
        self.number += 1
        promise = self.ctx.later()
        self.waiters.setdefault(run, {})[self.number] = Waiter(question, promise)
        seconds = min(question.wait, MAX_WAIT_SECONDS)
        self.ctx.timer(("wait", self.number), seconds, Expired(run, self.number))
        return promise

    def wrote(self, news: Wrote) -> None:
        """A run has new records, of which the last may be its end."""
        for number, waiter in list(self.waiters.get(news.thread, {}).items()):
            if isinstance(waiter.question, RecordsOf):
                self.release(news.thread, number)
            elif news.know is not None:
                self.release(news.thread, number, ended(news.thread, news.know))

    def notice(self, dids: tuple[str, ...]) -> tuple[str, ...]:
        """These people's inboxes have changed; returns who of them has a page open."""
        for number, waiter in list(self.waiters.get(None, {}).items()):
            if isinstance(waiter.question, ListTasks) and waiter.question.did in (None, *dids):
                self.release(None, number)
        return tuple(did for did in dids if did in self.pages)

    def release(self, run: str | None, number: int, news: object = None) -> None:
        """Answer somebody with these news, or with what there is now, be it nothing."""
        waiting = self.waiters.get(run, {})
        waiter = waiting.pop(number, None)
        if waiter is None:
            return
        if not waiting:
            del self.waiters[run]
        self.ctx.cancel(("wait", number))
        asked = waiter.question
        if isinstance(asked, ListTasks) and asked.did is not None:
            self.seen(asked.did)
        waiter.promise.reply(news or self.answer(asked))

    def seen(self, did: str) -> None:
        """A page of this person is open, until none has asked for a while."""
        self.pages.add(did)
        self.ctx.timer(("page", did), LIVE_SECONDS, PageClosed(did))

    def unseen(self, did: str) -> None:
        """No page of this person asked for a while: the herald takes over, if none waits here."""
        waiting = self.waiters.get(None, {}).values()
        if any(isinstance(w.question, ListTasks) and w.question.did == did for w in waiting):
            self.seen(did)
            return
        self.pages.discard(did)
        self.ctx.tell("herald", PageClosed(did))
