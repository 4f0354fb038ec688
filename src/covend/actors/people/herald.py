"""The herald: tells people of their tasks, by rule (P18).

| the task | where its person is told |
|---|---|
| a page of theirs is open | on that page; once it is closed, as below |
| is to be answered within the hour | at once, through every channel of theirs |
| leaves more time | in the next digest, one message for all of a person's tasks |

Whoever was told of a task is told that it was withdrawn, unless only a digest told them. A channel
that fails is tried again, ever more slowly, as long as the task waits, and the operator is told.
Whom new tasks and reminders were told to is kept in records: the next core tells whoever was not
told for certain. So a reminder is due from the moment its tick is durable until a channel took it,
across any number of crashes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from covend.actors.asking_store import ask_known, ask_store
from covend.actors.messages import Alert, NewConfig
from covend.actors.people import delivery_log, letters
from covend.actors.people.channels import Messengers, Send, named, send
from covend.actors.people.delivery_log import Account, Look, Missed, task_of
from covend.actors.people.inbox import parse_task
from covend.actors.people.outbox import Outbox, is_new, merged
from covend.actors.runs.legible import intact
from covend.actors.runs.messages import Notice, OpenPages, PageClosed
from covend.actors.runs.story import wall_clock
from covend.config import Box
from covend.patterns.responders.responder import Responder
from covend.patterns.state import call_id_of
from covend.phylactery.messages import Query
from covend.questions import WAITING
from covend.runtime import Actor, ActorError, Exit, MailboxSpec, Message, ReplyError

log = logging.getLogger(__name__)

PAGES_SECONDS = 5.0
DIGEST_FROM = 3600 * 1_000_000
"""Microseconds that a task must leave for it to wait for the digest."""
LOOK_SECONDS = 30.0
"""How often tasks are looked for of which no notice came: it died with whoever had it."""
UNREAD_SECONDS = 5.0
"""After this it is tried again to send what could not be, as the store could not be read."""


class Digest(Message, frozen=True):
    """A timer's message: send what was collected for this person."""

    did: str


class Sent(Message, frozen=True):
    """From a messenger's thread: what became of the message under way in an outbox."""

    did: str
    channel: str
    box: Outbox
    took: bool


class Again(Message, frozen=True):
    """A timer's message: try a channel that failed."""

    did: str
    channel: str


class Herald(Actor):
    """See the module. Nothing of a run waits for it."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="drop_oldest")

    def __init__(
        self, box: Box, clock: Callable[[], int] = wall_clock, through: Send = send
    ) -> None:
        self.configure(box)
        self.clock = clock
        self.through = through
        self.boxes: dict[tuple[str, str], Outbox] = {}
        self.digests: dict[str, dict[str, Notice]] = {}
        self.paged: dict[str, dict[str, Notice]] = {}
        """What an open page was told, by person and task."""
        self.people: tuple[Responder, ...] = ()
        """Who was registered when the message came that is handled now."""

    def on_start(self) -> None:
        self.messengers = Messengers(self.through)
        self.account = Account(self.ctx, partial(ask_store, self.ctx))
        self.account.recall()
        # Pages come back meanwhile.
        self.ctx.timer("look", delivery_log.SOON_SECONDS, Look(whole=True))

    def on_stop(self, reason: Exit) -> None:
        self.messengers.close()

    def on_receive(self, message: object) -> object:
        match message:
            case Notice():
                self.meet_people()
                self.notify(message)
            case PageClosed() | Digest() | Again():
                self.surely(message)
            case Sent():
                self.sent(message)
            case Look(whole=whole):
                self.look(whole)
            case NewConfig():
                self.configure(message.box)
            case _:
                pass
        return None

    def surely(self, message: PageClosed | Digest | Again) -> None:
        """Send what was kept for somebody; where the store cannot be read now, in a while."""
        try:
            self.meet_people()
            match message:
                case PageClosed(did=did):
                    self.page_closed(did)
                case Digest(did=did):
                    self.digest_due(did)
                case Again(did=did, channel=channel):
                    self.again(did, channel)
        except ReplyError as error:
            log.warning("what was kept for %s is kept on: %s", message.did, error)
            self.ctx.timer(message, UNREAD_SECONDS, message)

    def meet_people(self) -> None:
        """See who is registered now. What a notice is about is found again if this is refused."""
        self.people = ask_known(self.ctx)

    def configure(self, box: Box) -> None:
        self.limits = box.queries
        self.configured = {channel for entry in box.responder for channel in entry.channels}

    # ── the rule ────────────────────────────────────────────────────────────────────────────

    def notify(self, notice: Notice) -> None:
        """Choose the way to each person: the open page, the next digest, or now (P18)."""
        for did in notice.dids:
            if notice.happening == "withdrawn":
                self.withdrawn(did, notice)
                continue
            if not self.account.is_news(did, notice):
                continue  # it was found in the store before this notice of it came
            if did in notice.live:
                paged = self.paged.setdefault(did, {})
                paged[notice.task] = merged(paged.get(notice.task), notice)
            else:
                self.through_channels(did, notice)

    def through_channels(self, did: str, notice: Notice) -> None:
        """At once or with the next digest, as the time allows; at once with what waits for that."""
        if notice.due - self.clock() <= DIGEST_FROM or self.patience(did) <= DIGEST_FROM:
            unread = self.digests.get(did, {}).pop(notice.task, None)
            self.post(did, (merged(unread, notice),))
            return
        if not self.digests.get(did):
            waited = (self.clock() - notice.asked) / 1e6  # in the last core's digest, perhaps
            left = self.limits.digest_seconds - (waited if is_new(notice) else 0)
            self.ctx.timer(("digest", did), max(0.0, left), Digest(did))
        digest = self.digests.setdefault(did, {})
        digest[notice.task] = merged(digest.get(notice.task), notice)

    def page_closed(self, did: str) -> None:
        """What they were told on their page, they may not have seen."""
        notices = self.still(did, self.paged.get(did, {}).values())
        self.paged.pop(did, None)
        for notice in notices:
            self.through_channels(did, notice)

    def digest_due(self, did: str) -> None:
        """One message for all that was collected, as far as it still waits."""
        notices = self.still(did, self.digests.get(did, {}).values())
        self.digests.pop(did, None)
        self.post(did, notices)

    def withdrawn(self, did: str, notice: Notice) -> None:
        """Who has not read of it never will; who was told at once, or accepted it, is told."""
        self.account.was_told(did, notice)
        unread = [
            kept.pop(notice.task, None)
            for kept in (self.digests.get(did, {}), self.paged.get(did, {}))
        ]
        if did in notice.live or any(is_new(earlier) for earlier in unread):
            return
        hasty = notice.due - notice.asked <= DIGEST_FROM or self.patience(did) <= DIGEST_FROM
        if hasty or notice.accepted or self.reminded_at_once(notice):
            self.post(did, (notice,))

    def reminded_at_once(self, notice: Notice) -> bool:
        """Whether the task's last hour had begun when its person was reminded of it."""
        last_hour = notice.due - DIGEST_FROM
        return self.clock() >= last_hour and self.account.reminded_since(notice.task, last_hour)

    def still(self, did: str, notices: Iterable[Notice]) -> tuple[Notice, ...]:
        """Those of the notices that their person has to be told of even now."""
        found: list[Notice] = []
        states = self.account.states(did)
        for notice in notices:
            if self.needed(notice, states):
                found.append(notice)
            else:
                self.account.was_told(did, notice)
        return tuple(found)

    def needed(self, notice: Notice, states: dict[str, str]) -> bool:
        """Who accepted a task knows of it, and need only be reminded."""
        match notice.happening:
            case "withdrawn":
                return self.clock() < notice.due
            case _ if notice.ticks:
                return states.get(notice.task) in WAITING
            case _:
                return states.get(notice.task) == "open"

    # ── channels ────────────────────────────────────────────────────────────────────────────

    def post(self, did: str, notices: tuple[Notice, ...]) -> None:
        """Through the person's channels as they are registered now; nobody without any is told."""
        channels = self.channels(did)
        if not channels:
            for notice in notices:
                self.account.was_told(did, notice)
        for channel in channels:
            box = self.boxes.setdefault((did, channel), Outbox())
            for notice in notices:
                box.put(notice)
            self.send(did, channel)

    def send(self, did: str, channel: str) -> None:
        """Send what waits for a channel, if it can be sent now."""
        box = self.boxes[did, channel]
        notices = box.take()
        if not notices:
            if box.empty and not box.pausing:
                del self.boxes[did, channel]
            return
        me = self.ctx.me
        title = letters.title(notices)
        try:
            text = letters.text(notices, self.limits.inbox_url, self.question)
        except ReplyError as error:
            log.warning("a message to %s waits: its question was not read: %s", did, error)
            self.pause(did, channel)
            return
        if not self.messengers.send(
            channel,
            title,
            text,
            lambda took: me.tell(Sent(did, channel, box, took)),
            configured=channel in self.configured,
            again=box.failures > 0,
        ):
            self.failed(did, channel)

    def sent(self, news: Sent) -> None:
        box = self.boxes.get((news.did, news.channel))
        if box is None or box is not news.box:
            return  # an earlier life of this actor sent it
        if not news.took:
            self.failed(news.did, news.channel)
            return
        for notice in box.sent():
            self.account.was_told(news.did, notice)
        self.send(news.did, news.channel)

    def failed(self, did: str, channel: str) -> None:
        """Wait before the next attempt; the operator hears of the first that failed (W27)."""
        box = self.pause(did, channel)
        if box.failures == 1:
            text = f"{did} cannot be told of tasks through {named(channel)}; it is tried again"
            self.ctx.tell("console", Alert(text, {"did": did, "tasks": list(box.waiting)}))

    def pause(self, did: str, channel: str) -> Outbox:
        """Keep what was to be sent now, and try it again later."""
        box = self.boxes[did, channel]
        self.ctx.timer(("again", did, channel), box.failed(), Again(did, channel))
        return box

    def again(self, did: str, channel: str) -> None:
        box = self.boxes[did, channel]
        states = self.account.states(did)
        for notice in box.resume(lambda notice: self.needed(notice, states)):
            self.account.was_told(did, notice)
        self.send(did, channel)

    def channels(self, did: str) -> tuple[str, ...]:
        found = [channel for one in self.people if one.did == did for channel in one.channels]
        return tuple(dict.fromkeys(found))

    def patience(self, did: str) -> float:
        """The microseconds in which this person, or whom they stand in for, should answer."""
        slas = [
            one.sla_secs * 1e6
            for one in self.people
            if one.sla_secs is not None and did in (one.did, *one.delegates)
        ]
        return min(slas, default=float("inf"))

    # ── what waits, and of which no notice came ─────────────────────────────────────────────

    def look(self, whole: bool) -> None:
        """Take it up; pages that are open come first here as well (P4)."""
        if whole:  # first, should the store not be readable
            self.ctx.timer("look", LOOK_SECONDS, Look(whole=True))
        self.meet_people()  # before, as what a look has found is to be told
        missed = self.account.look(whole)
        if not missed and not (whole and self.paged):
            return
        live = self.open_pages()
        for one in missed:
            self.notify(as_notice(one, live or ()))
        if whole and live is not None:  # a desk that was started again knows of no page before
            for did in self.paged.keys() - set(live):
                self.surely(PageClosed(did))

    def open_pages(self) -> tuple[str, ...] | None:
        """Whose page is open; None while the desk is away."""
        try:
            return self.ctx.ask("desk", OpenPages(), timeout=PAGES_SECONDS)
        except (ActorError, ReplyError):
            return None

    def question(self, notice: Notice) -> str:
        """The question of a task; one that was found in the store is read only to be told."""
        if notice.question is not None:
            return notice.question
        thread, call = parse_task(notice.task) or ("", "")
        calls = ask_store(self.ctx, Query(kind="call", thread=thread, damaged=True))
        for entry in intact(self.ctx, calls):
            if call_id_of(entry["body"]) == call:
                return str(entry["body"]["ask"]["question"])
        return "A question that cannot be read any more"


def as_notice(missed: Missed, live: tuple[str, ...]) -> Notice:
    """The notice of what was found in the store."""
    row = missed.row
    return Notice(
        happening=missed.happening,
        task=task_of(row),
        dids=(row["did"],),
        question=None,
        due=row["due"],
        asked=row["opened"],
        live=live,
        accepted=row["state"] == "accepted",
        ticks=missed.ticks,
    )
