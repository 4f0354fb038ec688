"""The desk: takes queries in, answers what is asked about them, and keeps their executions (P6).

It knows which runs have an execution now; a message for any other run wakes it first. So whatever
is heard of a run goes through here, and a run at rest is nothing but its records. Reads are asked
of the store at once; whoever waits for news holds a promise, not a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import msgspec

import covend
from covend.actors.asking_store import STORE_SECONDS, ask_known, ask_store
from covend.actors.messages import NewConfig
from covend.actors.people import inbox
from covend.actors.runs.children import asked_by, named_records
from covend.actors.runs.execution import Unstored
from covend.actors.runs.joining import joined
from covend.actors.runs.legible import legible
from covend.actors.runs.messages import (
    Cancelling,
    Joining,
    Looked,
    Notice,
    OpenPages,
    PageClosed,
    Recover,
    Resting,
    Returned,
    Rouse,
    Routed,
    SetAside,
    Ticked,
    Unclear,
    Word,
    Wrote,
)
from covend.actors.runs.next_look import LookNow, NextLook
from covend.actors.runs.opening import Opening, opened_before
from covend.actors.runs.reading import Question, Reader, ended, is_news, unknown
from covend.actors.runs.story import wall_clock
from covend.actors.runs.waiting import Expired, Waiting
from covend.config import Box
from covend.patterns.query.admit import InvalidQuery, admit
from covend.patterns.state import INPUTS
from covend.phylactery.messages import (
    OpenCalls,
    Query,
    Thread,
    Unfinished,
)
from covend.questions import (
    ActOnTask,
    CancelQuery,
    EndOf,
    ListQueries,
    ListResponders,
    ListTasks,
    PutResponder,
    RecordsOf,
    RemoveResponder,
    SettleCall,
    ShowQuery,
    ShowTask,
    SubmitQuery,
    refusal,
)
from covend.runtime import (
    Actor,
    ActorDead,
    Answer,
    MailboxFull,
    MailboxSpec,
    Message,
    Promise,
    ReplyError,
)
from covend.supervisors.messages import StartMember, TerminateChild, WhichChildren

log = logging.getLogger(__name__)

RUNS = "patterns"
"""The dynamic supervisor of the executions (docs/architecture.md)."""
WAKE_AT_ONCE = 16
RECOVER_SECONDS = 5.0


class WakeMore(Message, frozen=True):
    """To itself: wake the next runs that a dead core left behind."""


class Desk(Actor):
    """See the module. Address ``desk@core``; ``covend.questions`` is what it answers."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="reject")

    def __init__(self, box: Box, clock: Callable[[], int] = wall_clock) -> None:
        self.max_active = box.queries.max_active
        self.schemas = box.schemas()
        self.clock = clock
        self.runs: dict[str, int] = {}
        """Who has an execution, and the number of the last message passed on to it."""
        self.sent = 0
        """No number is used twice: what a passivated execution said last is known as such."""
        self.going: set[str] = set()
        """Those of them that wrote something that was not their end: no look is needed."""
        self.aside: set[str] = set()
        self.unclear: set[tuple[str, str]] = set()
        """Runs with a call of which nobody knows whether it was carried out; the courier says."""
        self.waking: deque[str] = deque()

    def on_start(self) -> None:
        self.reader = Reader(partial(ask_store, self.ctx), lambda thread: thread in self.aside)
        self.waiting = Waiting(self.ctx, self.reader.answer)
        self.next_look = NextLook(self.ctx, self.clock)

    def on_receive(self, message: object) -> object:
        match message:
            case SubmitQuery() | CancelQuery() | ActOnTask():
                return self.order(message)
            case ShowQuery() | EndOf() | ListQueries() | RecordsOf() | ListTasks() | ShowTask():
                return self.read(message)
            case ListResponders() | PutResponder() | RemoveResponder():
                return self.pass_on("registry", message)
            case SettleCall():
                self.unclear.discard((message.id, message.call))
                return self.pass_on("courier", message)
            case Returned() | Ticked():
                self.route(message.thread, message)
            case Unclear():
                self.unclear.add((message.thread, message.call))
                self.route(message.thread, message)
            case Resting():
                self.resting(message)
            case Wrote():
                self.wrote(message)
            case Looked(due=due):
                self.next_look.heard(due)
            case LookNow():
                self.next_look.begin()
            case Notice():
                self.notice(message)
            case PageClosed(did=did):
                self.waiting.unseen(did)
            case OpenPages():
                return tuple(self.waiting.pages)
            case Joining():
                return joined(self.ctx, message, self.reader.find, self.clock)
            case SetAside(thread=thread):
                self.aside.add(thread)
                self.waiting.wrote(Wrote(thread))
            case Recover():
                self.recover()
            case WakeMore():
                self.wake_more()
            case Expired(run=run, number=number):
                self.waiting.release(run, number)
            case NewConfig():
                self.max_active = message.box.queries.max_active
                self.schemas = message.box.schemas()
            case _:
                pass
        return None

    def order(self, order: SubmitQuery | CancelQuery | ActOnTask) -> object:
        """Do what somebody wants of a query; a refusal where the store cannot be read now."""
        try:
            match order:
                case SubmitQuery():
                    return self.submit(order)
                case CancelQuery():
                    return self.cancel(order)
                case ActOnTask():
                    return self.act(order)
        except ReplyError as error:
            return refusal(503, "not_read", str(error))

    # ── queries come in (P7) ────────────────────────────────────────────────────────────────

    def submit(self, order: SubmitQuery) -> object:
        """Admit a query, or say everything that is wrong with it; answered once it is durable."""
        thread = named(order.key, self.clock())
        if len(self.runs) >= self.max_active and thread not in self.runs:
            text = f"{len(self.runs)} queries run already, the most that queries.max_active allows"
            return refusal(429, "too_many_queries", text)
        known = ask_known(self.ctx)
        try:
            intend = admit(
                order.query,
                known,
                thread=thread,
                now=self.clock(),
                seed=secrets.randbits(32),
                schemas=self.schemas,
                records=named_records(order.query, self.reader.find),
            )
        except InvalidQuery as error:
            errors = [dict(problem) for problem in error.errors]
            return refusal(422, "invalid_query", "the query is not valid", errors)
        if order.by is not None:
            intend |= asked_by(order.by)
        if thread in self.runs:
            not_yet = "the first submission is not durable yet"
            return opened_before(self.ctx, thread, intend, not_yet)
        promise = self.ctx.later()
        try:
            self.start(thread, Opening(intend, promise))
        except ActorDead as error:
            return refusal(503, "restarting", str(error))
        return promise

    # ── executions (P6) ─────────────────────────────────────────────────────────────────────

    def start(self, thread: str, opening: Opening) -> None:
        self.sent += 1
        order = StartMember(thread, (opening, self.sent, self.clock))
        self.ctx.ask(RUNS, order, timeout=STORE_SECONDS)
        self.runs[thread] = self.sent

    def route(self, thread: str, message: object) -> None:
        """Pass a message on to a run, waking it first if it rests."""
        if thread in self.aside and isinstance(message, Ticked | Rouse):
            return
        if thread not in self.runs:
            try:
                self.start(thread, Opening())
            except ActorDead as error:
                self.unheard(message, error)
                return
        self.sent += 1
        self.runs[thread] = self.sent
        routed = Routed(self.sent, message)
        try:
            if isinstance(message, Word | Cancelling):
                handled = self.ctx.ask_later(thread, routed, timeout=STORE_SECONDS)
                handled.on_done(lambda answer: self.unheard(message, answer.error))
            else:
                self.ctx.tell(thread, routed)
        except MailboxFull as error:
            self.unheard(message, error)

    def unheard(self, message: object, error: BaseException | None) -> None:
        """A run is overwhelmed, could not store what it heard, or is being started again.

        What is lost is said again: answers by the courier, timers by the timekeeper, and people's
        words by who is told here that they were not taken. Any thread.
        """
        if error is not None and isinstance(message, Word | Cancelling):
            code = "not_stored" if isinstance(error, Unstored) else "restarting"
            message.promise.reply(refusal(503, code, str(error)))

    def resting(self, news: Resting) -> None:
        """Passivate a run that has handled all it was sent; another one is asked again."""
        sent = self.runs.get(news.thread)
        if sent is None:
            return
        if sent != news.number:
            # Its last message is under way, or was lost with an execution that failed.
            with contextlib.suppress(MailboxFull):  # then it will say again that it rests
                self.ctx.tell(news.thread, Routed(sent, Rouse()))
            return
        # Whoever starts it again comes behind this in the supervisor's mailbox.
        del self.runs[news.thread]
        self.going.discard(news.thread)
        self.ctx.tell(RUNS, TerminateChild(news.thread))

    def recover(self) -> None:
        """Go on where the last core stopped: with open calls, and where something is missing (P4).

        Runs that only wait for people or timers stay where they are, in the store.
        """
        self.ctx.timer("recover", RECOVER_SECONDS, Recover())  # should the store not be readable
        children = self.ctx.ask(RUNS, WhichChildren(), timeout=STORE_SECONDS)
        self.runs = {child.id: self.runs.get(child.id, 0) for child in children}
        self.going &= self.runs.keys()
        stored = ask_store(self.ctx, Query(kind="quarantine", damaged=True))
        versions = legible(self.ctx, stored, lambda one: (one["thread"], one["body"]["covend"]))
        self.aside = {thread for thread, version in versions if version == covend.__version__}
        calls = ask_store(self.ctx, OpenCalls())
        found = [row["thread"] for row in calls if row["responder"] != "actor"]
        found += ask_store(self.ctx, Unfinished(sorted(INPUTS)))
        self.waking = deque(dict.fromkeys(found))
        self.ctx.cancel("recover")
        self.wake_more()

    def wake_more(self) -> None:
        for _ in range(min(WAKE_AT_ONCE, len(self.waking))):
            if len(self.runs) >= self.max_active:
                break
            thread = self.waking.popleft()
            if thread not in self.runs:
                self.route(thread, Rouse())
        if self.waking:
            self.ctx.timer("wake", 0.01, WakeMore())

    def wrote(self, news: Wrote) -> None:
        if news.know is None and news.thread in self.runs:
            self.going.add(news.thread)
        else:
            self.going.discard(news.thread)
        if news.know is not None:
            self.unclear = {one for one in self.unclear if one[0] != news.thread}
        if news.due is not None:
            self.next_look.heard(news.due)
        for thread in news.begun:
            self.route(thread, Rouse())
        self.waiting.wrote(news)

    # ── cancel, and people's words (P14, P18) ───────────────────────────────────────────────

    def cancel(self, order: CancelQuery) -> object:
        row = ask_store(self.ctx, Thread(order.id))
        if row is None:
            return unknown(order.id)
        asked = self.reader.whole("intend", order.id) or {}
        if order.by not in (None, asked.get("by")):
            text = f"{order.by} did not ask this query: who did may cancel it, and an operator"
            return refusal(403, "not_your_query", text)
        if row["state"] == "ended":
            return ended(order.id, self.reader.whole("know", order.id))
        promise = self.ctx.later()
        self.route(order.id, Cancelling(order.reason, promise))
        return promise

    def act(self, order: ActOnTask) -> object:
        place = inbox.parse_task(order.id)
        if place is None or ask_store(self.ctx, Thread(place[0])) is None:
            return refusal(404, "not_found", f"there is no task {order.id!r}")
        promise = self.ctx.later()
        self.route(place[0], Word(place[1], order, promise))
        return promise

    def notice(self, news: Notice) -> None:
        """Tell open pages; the herald tells those who have none (P18)."""
        live = self.waiting.notice(news.dids)
        self.ctx.tell("herald", msgspec.structs.replace(news, live=live))

    # ── what is asked about them ────────────────────────────────────────────────────────────

    def read(self, question: Question) -> object:
        """What there is; where that is no news and the asker can wait, what comes (P18)."""
        if isinstance(question, ListTasks) and question.did is not None and question.wait > 0:
            self.waiting.seen(question.did)
        if isinstance(question, EndOf) and question.wait > 0 and question.id in self.going:
            return self.waiting.hold(question)
        answer = self.reader.answer(question)
        if isinstance(question, ShowQuery):
            for call in answer.get("calls", ()):
                if call["status"] == "open" and (question.id, call["call"]) in self.unclear:
                    call["status"] = "unclear"
        if isinstance(question, RecordsOf | EndOf | ListTasks) and question.wait > 0:
            return answer if is_news(question, answer) else self.waiting.hold(question)
        return answer

    # ── asking others ───────────────────────────────────────────────────────────────────────

    def pass_on(self, target: str, question: object) -> Promise:
        """Have another actor answer; nobody waits here meanwhile."""
        promise = self.ctx.later()

        def answered(answer: Answer) -> None:
            if answer.error is not None:
                promise.fail(answer.error)
            else:
                promise.reply(answer.value)

        self.ctx.ask_later(target, question, STORE_SECONDS).on_done(answered)
        return promise


def named(key: str | None, clock: int) -> str:
    """The thread of a query: one for each key; without, a new one that sorts by its time.

    So what runs at a time lies together in the store's indexes, and a commit writes fewer pages.
    A key that reads like the name of a nested run (``patterns.nesting``) is not taken for it.
    """
    if key is None:
        return f"q-{clock // 1000:012x}{secrets.token_hex(10)}"
    name = f"key {key}" if key.startswith("[") else key
    return f"q-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
