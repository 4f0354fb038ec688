"""The herald: tells people of their tasks, by rule (P18).

| the task | where its person is told |
|---|---|
| a page of theirs is open | on that page; once it is closed, as below |
| is to be answered within the hour | at once, through every channel of theirs |
| leaves more time | in the next digest, one message for all of a person's tasks |

A task that was withdrawn before its person was told is not told of; afterwards it is, unless it
was only in a digest. A channel that fails is tried again, ever more slowly, as long as the task
waits, and the operator is told. Whom new tasks were told to is kept in records: the next core
tells whoever was not told for certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import msgspec

from covend.actors import letters
from covend.actors.channels import Messengers, Send, named, send
from covend.actors.inbox import parse_task, task_id
from covend.actors.legible import legible
from covend.actors.letters import Letterbox, is_new
from covend.actors.messages import Alert, NewConfig
from covend.actors.run_messages import Known, Notice, OpenPages, PageClosed
from covend.actors.story import wall_clock
from covend.config import Box
from covend.patterns.responder import Responder
from covend.phylactery.messages import Append, Query, Tasks
from covend.phylactery.records import record
from covend.resolving import resolved
from covend.runtime import Actor, ActorError, Exit, MailboxSpec, ReplyError

THREAD = "herald"
STORE_SECONDS = 30.0
PAGES_SECONDS = 5.0
DIGEST_FROM = 3600 * 1_000_000
"""Microseconds that a task must leave for it to wait for the digest."""
SOON_SECONDS = 1.0
LOOK_SECONDS = 30.0
"""How often tasks are looked for of which no notice came: it died with whoever had it."""
FEW = 200
LISTED = 500
WAITS = ("open", "accepted")

Told: TypeAlias = tuple[str, str]
"""A task and a person: whom it was told."""


class Mark(msgspec.Struct, frozen=True):
    """The body of a ``told`` record: every task up to ``seq`` was told, and these above it."""

    seq: int
    tasks: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """A timer's message: send what was collected for this person."""

    did: str


@dataclass(frozen=True, slots=True)
class Sent:
    """From a messenger's thread: what became of the message under way in a letterbox."""

    did: str
    channel: str
    box: Letterbox
    took: bool


@dataclass(frozen=True, slots=True)
class Again:
    """A timer's message: try a channel that failed."""

    did: str
    channel: str


@dataclass(frozen=True, slots=True)
class Look:
    """A timer's message: compare who was told with who should be; a ``whole`` look at all."""

    whole: bool


class Herald(Actor):
    """See the module. Nothing of a run waits for it."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="drop_oldest")

    def __init__(
        self, box: Box, clock: Callable[[], int] = wall_clock, through: Send = send
    ) -> None:
        self.limits = box.queries
        self.clock = clock
        self.through = through
        self.boxes: dict[tuple[str, str], Letterbox] = {}
        self.digests: dict[str, dict[str, Notice]] = {}
        self.paged: dict[str, dict[str, Notice]] = {}
        """What an open page was told, by person and task."""
        self.marked = 0
        """The ``seq`` up to which every task was told to its person; what follows is above it."""
        self.heard: set[Told] = set()
        self.told: set[Told] = set()
        self.news: list[Told] = []
        """What is in ``told`` and in no record yet."""

    def on_start(self) -> None:
        self.messengers = Messengers(self.through)
        self.recall()
        self.ctx.timer("look", SOON_SECONDS, Look(whole=True))  # pages come back meanwhile

    def on_stop(self, reason: Exit) -> None:
        self.messengers.close()

    def on_receive(self, message: object) -> object:
        match message:
            case Notice():
                self.notify(message)
            case PageClosed(did=did):
                for notice in self.still(did, self.paged.pop(did, {}).values()):
                    self.through_channels(did, notice)
            case Digest(did=did):
                self.post(did, self.still(did, self.digests.pop(did, {}).values()))
            case Sent():
                self.sent(message)
            case Again(did=did, channel=channel):
                self.again(did, channel)
            case Look(whole=whole):
                self.look(whole)
            case NewConfig():
                self.limits = message.box.queries
            case _:
                pass
        return None

    # ── the rule ────────────────────────────────────────────────────────────────────────────

    def notify(self, notice: Notice) -> None:
        """Choose the way to each person: the open page, the next digest, or now (P18)."""
        for did in notice.dids:
            if notice.happening == "withdrawn":
                self.withdrawn(did, notice)
                continue
            if is_new(notice):
                whom = (notice.task, did)
                if whom in self.heard or whom in self.told:
                    continue  # it was found in the store before this notice of it came
                self.heard.add(whom)
            if did in notice.live:
                self.paged.setdefault(did, {})[notice.task] = notice
            else:
                self.through_channels(did, notice)

    def through_channels(self, did: str, notice: Notice) -> None:
        """At once or with the next digest, as the time allows."""
        if notice.due - self.clock() <= DIGEST_FROM or self.patience(did) <= DIGEST_FROM:
            self.post(did, (notice,))
            return
        if not self.digests.get(did):
            waited = (self.clock() - notice.asked) / 1e6  # in the last core's digest, perhaps
            left = self.limits.digest_seconds - (waited if is_new(notice) else 0)
            self.ctx.timer(("digest", did), max(0.0, left), Digest(did))
        self.digests.setdefault(did, {})[notice.task] = notice

    def withdrawn(self, did: str, notice: Notice) -> None:
        """Who has not read of it never will; who was told at once, or accepted it, is told."""
        self.was_told((notice.task, did))
        unread = [
            kept.pop(notice.task, None)
            for kept in (self.digests.get(did, {}), self.paged.get(did, {}))
        ]
        if did in notice.live or any(is_new(earlier) for earlier in unread):
            return
        hasty = notice.due - notice.asked <= DIGEST_FROM or self.patience(did) <= DIGEST_FROM
        if hasty or notice.accepted:
            self.post(did, (notice,))

    def still(self, did: str, notices: Iterable[Notice]) -> tuple[Notice, ...]:
        """Those of the notices that their person has to be told of even now."""
        found: list[Notice] = []
        states = self.states(did)
        for notice in notices:
            if self.needed(notice, states):
                found.append(notice)
            else:
                self.was_told((notice.task, did))
        return tuple(found)

    def needed(self, notice: Notice, states: dict[str, str]) -> bool:
        """Who accepted a task knows of it, and need only be reminded."""
        match notice.happening:
            case "withdrawn":
                return self.clock() < notice.due
            case "reminder":
                return states.get(notice.task) in WAITS
            case _:
                return states.get(notice.task) == "open"

    def states(self, did: str) -> dict[str, str]:
        """A person's tasks that wait, and whether they were accepted."""
        rows = [row for state in WAITS for row in self.ask_store(Tasks(did=did, state=state))]
        return {task_of(row): row["state"] for row in rows}

    # ── channels ────────────────────────────────────────────────────────────────────────────

    def post(self, did: str, notices: tuple[Notice, ...]) -> None:
        """Through the person's channels as they are registered now; nobody without any is told."""
        channels = self.channels(did)
        if not channels:
            for notice in notices:
                self.was_told((notice.task, did))
        for channel in channels:
            box = self.boxes.setdefault((did, channel), Letterbox())
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
        text = letters.text(notices, self.limits.inbox_url, self.question)
        if not self.messengers.send(
            channel, title, text, lambda took: me.tell(Sent(did, channel, box, took))
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
            self.was_told((notice.task, news.did))
        self.send(news.did, news.channel)

    def failed(self, did: str, channel: str) -> None:
        """Wait before the next attempt; the operator hears of the first that failed (W27)."""
        box = self.boxes[did, channel]
        pause = box.failed()
        self.ctx.timer(("again", did, channel), pause, Again(did, channel))
        if box.failures == 1:
            text = f"{did} cannot be told of tasks through {named(channel)}; it is tried again"
            self.ctx.tell("console", Alert(text, {"did": did, "tasks": list(box.waiting)}))

    def again(self, did: str, channel: str) -> None:
        box = self.boxes[did, channel]
        states = self.states(did)
        for notice in box.resume(lambda notice: self.needed(notice, states)):
            self.was_told((notice.task, did))
        self.send(did, channel)

    def known(self) -> tuple[Responder, ...]:
        return self.ctx.ask("registry", Known(), timeout=STORE_SECONDS)

    def channels(self, did: str) -> tuple[str, ...]:
        found = [channel for one in self.known() if one.did == did for channel in one.channels]
        return tuple(dict.fromkeys(found))

    def patience(self, did: str) -> float:
        """The microseconds in which this person, or whom they stand in for, should answer."""
        slas = [
            one.sla_secs * 1e6
            for one in self.known()
            if one.sla_secs is not None and did in (one.did, *one.delegates)
        ]
        return min(slas, default=float("inf"))

    # ── whom new tasks were told to ─────────────────────────────────────────────────────────

    def was_told(self, whom: Told) -> None:
        """Count a new task as told; nothing for one that is known to be."""
        if whom in self.heard and whom not in self.told:
            self.told.add(whom)
            if not self.news:
                self.ctx.timer("mark", SOON_SECONDS, Look(whole=False))
            self.news.append(whom)

    def recall(self) -> None:
        """Read back who was told; where that cannot be read, who waits is told once more (P18)."""
        newest = self.ask_store(Query(kind="told", thread=THREAD, limit=1))
        marks = legible(self.ctx, newest, as_mark)
        if newest and not marks:
            marks = legible(self.ctx, self.ask_store(Query(kind="told", thread=THREAD)), as_mark)
        self.marked = marks[0].seq if marks else 0
        after = Query(kind="told", thread=THREAD, after=self.marked)
        for mark in legible(self.ctx, self.ask_store(after), as_mark):
            self.told.update(mark.tasks)

    def look(self, whole: bool) -> None:
        """Take up tasks that wait and of which no notice came, and store who was told (P4)."""
        rows = self.ask_store(Tasks(after=self.marked, limit=None if whole else FEW))
        upto = rows[-1]["seq"] if rows else self.marked
        if not whole and len(rows) == FEW:
            upto -= 1  # its record may have made more tasks
        missed: list[dict[str, Any]] = []
        for row in rows:
            whom = (task_of(row), row["did"])
            if row["state"] == "open" and whom not in self.told:
                upto = min(upto, row["seq"] - 1)
                if whom not in self.heard:
                    missed.append(row)
        covered = {(task_of(row), row["did"]) for row in rows if row["seq"] <= upto}
        self.mark(upto, [whom for whom in self.news if whom not in covered])
        self.told -= covered
        self.heard -= covered
        live = self.open_pages() if missed else ()
        for row in missed:
            self.notify(as_notice(row, live))
        if whole:
            self.ctx.timer("look", LOOK_SECONDS, Look(whole=True))

    def mark(self, upto: int, above: list[Told]) -> None:
        """Store that all were told up to here, and these above it: the next core tells the others.

        Of many only some at a time, so that no record grows without bound.
        """
        listed, self.news = above[:LISTED], above[LISTED:]
        if self.news:
            self.ctx.timer("mark", SOON_SECONDS, Look(whole=False))
        if upto <= self.marked and not listed:
            return
        self.marked = max(self.marked, upto)
        body = {"seq": self.marked, "tasks": [list(whom) for whom in listed]}
        entry = record(THREAD, "told", body, actor="herald", act="PUT")
        self.ctx.tell("phylactery", Append([entry]))

    def open_pages(self) -> tuple[str, ...]:
        """Whose page is open; nobody's while the desk is away."""
        try:
            return self.ctx.ask("desk", OpenPages(), timeout=PAGES_SECONDS)
        except (ActorError, ReplyError):
            return ()

    def question(self, notice: Notice) -> str:
        """The question of a task; one that was found in the store is read only to be told."""
        if notice.question is not None:
            return notice.question
        thread, call = parse_task(notice.task) or ("", "")
        for entry in self.ask_store(Query(kind="call", thread=thread)):
            if f"{entry['body']['slot']}#{entry['body']['attempt']}" == call:
                return str(entry["body"]["ask"]["question"])
        return ""

    def ask_store(self, question: object) -> Any:
        return self.ctx.ask("phylactery", question, timeout=STORE_SECONDS)


def as_mark(entry: dict[str, Any]) -> Mark:
    """What a ``told`` record says; raises ``msgspec.ValidationError``."""
    return msgspec.convert(entry["body"], resolved(Mark))


def task_of(row: dict[str, Any]) -> str:
    """The name of the task in this row of the store."""
    return task_id(row["thread"], f"{row['slot']}#{row['attempt']}")


def as_notice(row: dict[str, Any], live: tuple[str, ...]) -> Notice:
    """The notice of a task that was found in the store."""
    return Notice(
        happening="assigned",
        task=task_of(row),
        dids=(row["did"],),
        question=None,
        due=row["due"],
        asked=row["opened"],
        live=live,
    )
