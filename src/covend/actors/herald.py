"""The herald: tells people of their tasks, by rule (P18).

| the task | where |
|---|---|
| a page of theirs is open | that page was told; nothing more |
| leaves more than an hour | in the next digest, one message for all of a person's tasks |
| leaves less | at once, through the person's channels |

Withdrawn tasks only leave the digest, or are told of where their person was told at once. How far
new tasks were told of is a record: a restart tells again only of those that were on their way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from covend.actors.channels import Messengers, Send, send
from covend.actors.inbox import parse_task, task_id
from covend.actors.messages import NewConfig
from covend.actors.run_messages import Known, Notice
from covend.actors.story import wall_clock
from covend.config import Box
from covend.patterns.responder import Responder
from covend.phylactery.messages import Append, Latest, Query, Tasks
from covend.phylactery.records import record
from covend.runtime import Actor, Exit, MailboxSpec

THREAD = "herald"
STORE_SECONDS = 30.0
DIGEST_FROM = 3600 * 1_000_000
"""Microseconds that a task must leave for it to wait for the digest."""
MARK_SECONDS = 1.0
MAX_LISTED = 20

TITLES = {
    "assigned": "A question for you",
    "reminder": "A question still waits for you",
    "delegated": "A question was passed on to you",
    "withdrawn": "A question needs no answer any more",
}


@dataclass(frozen=True, slots=True)
class Digest:
    """A timer's message: send what was collected for this person."""

    did: str


@dataclass(frozen=True, slots=True)
class Told:
    """From a messenger's thread: these tasks were told of."""

    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A timer's message: store how far tasks were told of."""


class Herald(Actor):
    """See the module. Nothing of a run waits for it."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="drop_oldest")

    def __init__(
        self, box: Box, clock: Callable[[], int] = wall_clock, through: Send = send
    ) -> None:
        self.limits = box.queries
        self.clock = clock
        self.through = through
        self.digests: dict[str, dict[str, Notice]] = {}
        self.under_way: dict[str, int] = {}
        """New tasks that nobody was told of for certain, with the ``seq`` of their calls."""
        self.seen = 0
        self.marked = 0

    def on_start(self) -> None:
        self.messengers = Messengers(self.through)
        marked = self.ctx.ask("phylactery", Latest("told", THREAD), timeout=STORE_SECONDS)
        self.seen = self.marked = 0 if marked is None else int(marked["body"]["seq"])
        rows = self.ctx.ask("phylactery", Tasks(after=self.marked), timeout=STORE_SECONDS)
        for row in rows:
            self.seen = max(self.seen, row["seq"])
            if row["state"] in ("open", "accepted"):
                notice = as_notice(row)
                self.under_way[notice.task] = row["seq"]
                self.spread(notice)

    def on_stop(self, reason: Exit) -> None:
        self.messengers.close()

    def on_receive(self, message: object) -> object:
        match message:
            case Notice():
                self.notify(message)
            case Digest(did=did):
                self.send_digest(did)
            case Told(tasks=tasks):
                for name in tasks:
                    self.under_way.pop(name, None)
                self.ctx.timer("mark", MARK_SECONDS, Mark())
            case Mark():
                self.mark()
            case NewConfig():
                self.limits = message.box.queries
            case _:
                pass
        return None

    # ── the rule ────────────────────────────────────────────────────────────────────────────

    def notify(self, notice: Notice) -> None:
        """Keep account of new tasks, and tell of what happened."""
        if notice.happening == "assigned":
            seq = self.place_of(notice.task)
            self.under_way[notice.task] = seq
            self.seen = max(self.seen, seq)
        self.spread(notice)

    def spread(self, notice: Notice) -> None:
        """Choose the way: the open page, the next digest, or the channels now (P18)."""
        if notice.happening == "withdrawn":
            self.withdrawn(notice)
        elif notice.live:
            self.told(notice.task)
        elif notice.due - self.clock() > DIGEST_FROM:
            for did in notice.dids:
                self.collect(did, notice)
        else:
            for did in notice.dids:
                self.send(did, (notice,), TITLES[notice.happening], self.text(notice))

    def place_of(self, task: str) -> int:
        """Where the call of a task stands in the store; where it is not found, at the mark."""
        thread, call = parse_task(task) or ("", "")
        rows = self.ctx.ask("phylactery", Tasks(thread=thread), timeout=STORE_SECONDS)
        found = [row["seq"] for row in rows if f"{row['slot']}#{row['attempt']}" == call]
        return min(found, default=self.marked)

    def withdrawn(self, notice: Notice) -> None:
        """Who has not read of it yet never will; who was told at once is told."""
        self.told(notice.task)
        for did in notice.dids:
            self.digests.get(did, {}).pop(notice.task, None)
        if notice.due - notice.asked <= DIGEST_FROM and not notice.live:
            for did in notice.dids:
                self.send(did, (notice,), TITLES["withdrawn"], self.text(notice))

    def collect(self, did: str, notice: Notice) -> None:
        if not self.digests.get(did):
            self.ctx.timer(("digest", did), self.limits.digest_seconds, Digest(did))
        self.digests.setdefault(did, {})[notice.task] = notice

    def send_digest(self, did: str) -> None:
        notices = tuple(self.digests.pop(did, {}).values())
        if not notices:
            return
        many = len(notices)
        title = TITLES[notices[0].happening] if many == 1 else f"{many} questions wait for you"
        lines = [f"- {self.text(notice)}" for notice in notices[:MAX_LISTED]]
        if many > MAX_LISTED:
            lines.append(f"and {many - MAX_LISTED} more")
        self.send(did, notices, title, "\n".join(lines))

    def text(self, notice: Notice) -> str:
        """What a person reads: the question, until when, and where to answer."""
        due = datetime.fromtimestamp(notice.due / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
        where = self.limits.inbox_url
        link = f" {where.rstrip('/')}#{notice.task}" if where else f" (task {notice.task})"
        question = notice.question if notice.question is not None else self.question_of(notice.task)
        return f"{question} — until {due}{link}"

    def send(self, did: str, notices: tuple[Notice, ...], title: str, text: str) -> None:
        """Through the person's channels as they are registered now; nobody without any is told."""
        tasks = tuple(notice.task for notice in notices)
        me = self.ctx.me
        channels = self.channels(did)

        def done(_all_took_it: bool) -> None:
            me.tell(Told(tasks))

        if not channels or not self.messengers.send(channels, title, text, done):
            for task in tasks:
                self.told(task)

    def channels(self, did: str) -> tuple[str, ...]:
        known: tuple[Responder, ...] = self.ctx.ask("registry", Known(), timeout=STORE_SECONDS)
        found = [channel for one in known if one.did == did for channel in one.channels]
        return tuple(dict.fromkeys(found))

    # ── how far ─────────────────────────────────────────────────────────────────────────────

    def told(self, task: str) -> None:
        if self.under_way.pop(task, None) is not None:
            self.ctx.timer("mark", MARK_SECONDS, Mark())

    def mark(self) -> None:
        """Store up to which task everybody was told: the rest is told again by the next core."""
        upto = min(self.under_way.values(), default=self.seen + 1) - 1
        if upto > self.marked:
            self.marked = upto
            entry = record(THREAD, "told", {"seq": upto}, actor="herald", act="PUT")
            self.ctx.tell("phylactery", Append([entry]))

    def question_of(self, task: str) -> str:
        """The question of a task that a dead core left, read only when it is told of."""
        thread, call = parse_task(task) or ("", "")
        calls = self.ctx.ask("phylactery", Query(kind="call", thread=thread), timeout=STORE_SECONDS)
        for entry in calls:
            if f"{entry['body']['slot']}#{entry['body']['attempt']}" == call:
                return str(entry["body"]["ask"]["question"])
        return ""


def as_notice(row: dict[str, Any]) -> Notice:
    """The notice of a task that a dead core left."""
    return Notice(
        happening="assigned",
        task=task_id(row["thread"], f"{row['slot']}#{row['attempt']}"),
        dids=(row["did"],),
        question=None,
        due=row["due"],
        asked=row["opened"],
    )
