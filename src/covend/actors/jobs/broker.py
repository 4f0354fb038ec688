"""The broker: jobs, who works on which, and parking them for a transition.

Jobs are records (``job_records``). So a broker that starts anew reads them back and goes on:
nothing is lost, and a step whose result is recorded is never made again. A job that nobody works
on is a signal to the dispatcher, so the whim sees parked and queued work exactly as it sees a
waiting client.
"""

from __future__ import annotations

import logging
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from covend.actors.admission.catalog import Catalog
from covend.actors.jobs.book import UNCLEAR, Assignment, JobEntry, step_body
from covend.actors.jobs.records import JobRecords
from covend.actors.messages import (
    BrokerStarted,
    CapabilitiesOpen,
    DrainGhouls,
    Event,
    NewConfig,
    Reopen,
    Snapshot,
)
from covend.actors.swaps.modelling import model_of
from covend.phylactery.canonical import NotCanonical
from covend.protocol import (
    CancelJob,
    Drained,
    GhoulHello,
    Job,
    JobEnded,
    JobFinished,
    JobQuery,
    ParkJob,
    RunJob,
    SignalNote,
    SignalsChanged,
    StepDone,
    SubmitJob,
)
from covend.runtime import Actor, MailboxSpec, Message, ReplyError
from covend.runtime.frames import FrameError
from covend.will.interrupt import Running, cheapest

log = logging.getLogger(__name__)

GHOUL_SILENCE_SECONDS = 5.0
"""A ghoul says hello every second; one silent for this long has lost its job."""
CHECKPOINT = 500
"""So many ends after the last one, the broker stores from where the next one has to read."""
WITHDRAWN = "withdrawn: nobody waits for it any more, and nobody works on it"
PURGED = "what it answered was purged, since the run that it worked for has ended long ago"
REJOIN_SECONDS = 2.5
"""After a restart no job is handed out before every living ghoul has said what it works on."""


class Sweep(Message, frozen=True):
    """A timer's message: look for ghouls that went silent."""


@dataclass(slots=True)
class Drain:
    """One transition waits for these ghouls to put their jobs down."""

    order: DrainGhouls
    waiting: set[str]
    boundaries: dict[str, int]


class Broker(Actor):
    """Owns the jobs; address ``broker@core`` for ghouls and the command line."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=10_000, policy="reject")

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.model = model_of(catalog.box)
        self.allowed: frozenset[str] = frozenset()
        self.dominated: frozenset[str] = frozenset()
        self.drains: dict[int, Drain] = {}
        self.announced: set[str] = set()
        self.tell: dict[str, set[str]] = {}
        """Who hears the end of a job, by its id; told again by whoever submits it again."""
        self.assign_from = 0.0
        self.ending: deque[JobEntry] = deque()
        """Jobs that have ended, and whose end is not stored yet."""
        self.ended = 0
        """Jobs that ended since the last checkpoint."""

    def on_start(self) -> None:
        self.records = JobRecords(self.ctx)
        self.book = self.records.restore()
        self.assign_from = self.ctx.now() + REJOIN_SECONDS
        self.ctx.timer("sweep", 1.0, Sweep())
        self.ctx.tell("dispatcher", BrokerStarted())

    def on_receive(self, message: object) -> object:
        answer: object = None
        match message:
            case GhoulHello():
                self.heard(message)
            case StepDone():
                answer = self.step_done(message)
            case JobEnded():
                self.job_ended(message)
            case Drained():
                self.given_back(message)
            case SubmitJob():
                answer = self.submit(message)
            case CancelJob(id=job):
                self.cancel(job)
            case JobQuery():
                return self.show(message.id)
            case CapabilitiesOpen():
                self.open_changed(message)
            case DrainGhouls():
                self.drain(message)
            case Reopen():
                self.drains.pop(message.epoch, None)
            case Sweep():
                self.sweep()
            case NewConfig():
                self.catalog = Catalog(message.box)
                self.model = model_of(message.box)
            case Snapshot():
                return self.book.counts()
            case _:
                return None
        self.settle()
        return answer

    def heard(self, hello: GhoulHello) -> None:
        self.book.hello(hello.ghoul, hello.address, hello.job, hello.epoch, self.ctx.now())
        job = self.book.ghouls[hello.ghoul].job
        if job is None:
            self.drained(hello.ghoul, {})
        elif job == hello.job and self.book.jobs[job].status == "parking":
            # The order to park overtook the order to run, or was lost.
            asked = (epoch for epoch, one in self.drains.items() if hello.ghoul in one.waiting)
            self.order_park(self.book.jobs[job], max(asked, default=0))

    # ── jobs ────────────────────────────────────────────────────────────────────────────────

    def submit(self, order: SubmitJob) -> str:
        """Make a job durable and queue it; the same id again is the same job.

        Raises ``ReplyError`` for one that cannot be served or that no record can hold.
        """
        if order.capability not in self.catalog.serving:
            known = ", ".join(sorted(self.catalog.serving))
            raise ReplyError(f"no soulstone serves {order.capability!r}; this box serves: {known}")
        if not order.steps:
            raise ReplyError("a job needs at least one step")
        job = Job(
            id=order.id or uuid.uuid4().hex[:12],
            capability=order.capability,
            klass=order.klass,
            steps=order.steps,
            once=order.once,
        )
        if order.id is None or not self.records.recalled(job.id):
            try:
                body = {"job": msgspec.to_builtins(job), "run": order.run}
                self.records.keep(job.id, "INTEND", body)
            except NotCanonical as error:
                raise ReplyError(f"no record can hold this job: {error}") from error
            self.book.submit(job, self.ctx.now())
        self.book.jobs[job.id].unwanted = False
        if order.tell is not None:
            self.tell.setdefault(job.id, set()).add(order.tell)
            self.tell_end(self.book.jobs[job.id])
        return job.id

    def cancel(self, job: str) -> None:
        """Hand a job out no more; what a ghoul does is not undone by forgetting it."""
        if (entry := self.book.jobs.get(job)) is not None:
            entry.unwanted = True

    def end(self, entry: JobEntry, error: str | None) -> None:
        """Free a job's ghoul, make the end durable, and tell who waits for it."""
        self.book.end(entry, error)
        self.ending.append(entry)
        self.store_ends()

    def store_ends(self) -> None:
        """Where the store has no room for an end its ghoul does not say it again: we do (D2)."""
        while self.ending:
            entry = self.ending[0]
            job, error = entry.job.id, entry.error
            try:
                self.records.keep(job, "KNOW", {"error": error})
            except ReplyError as refusal:
                log.warning("the end of job %s is not stored yet: %s", job, refusal)
                return
            self.ending.popleft()
            self.event(f"job {job} " + (f"failed: {error}" if error else "done"))
            self.tell_end(entry)
            self.ended += 1
        if self.ended >= CHECKPOINT:
            self.ended = 0
            self.records.checkpoint()

    def tell_end(self, entry: JobEntry) -> None:
        if entry.open or entry in self.ending:
            return
        for address in self.tell.pop(entry.job.id, ()):
            news = JobFinished(
                id=entry.job.id,
                error=entry.error or (PURGED if entry.purged else None),
                results=entry.results,
                unclear=entry.error == UNCLEAR,
            )
            self.ctx.tell(self.ctx.system.address(address), news)

    def show(self, job: str) -> dict[str, Any]:
        if not self.records.recalled(job):
            raise ReplyError(f"no job {job!r} is known here")
        entry = self.book.jobs[job]
        return {
            "id": job,
            "capability": entry.job.capability,
            "status": entry.status,
            "steps": len(entry.job.steps),
            "done": len(entry.results),
            "parked": entry.parked,
            "ghoul": entry.ghoul,
            "error": entry.error,
            "purged": entry.purged,
            "results": entry.results,
        }

    def step_done(self, report: StepDone) -> bool:
        """Record one step's result before it counts; a stale ghoul hears ``False``.

        So does one whose result no record can hold: that is the end of its job.
        """
        entry = self.book.owns(report.ghoul, report.epoch, report.job)
        if entry is None or report.index > len(entry.results):
            return False
        if report.index == len(entry.results):
            try:
                self.records.keep(report.job, "DO", step_body(report.index, report.result))
            except NotCanonical as error:
                self.end(entry, f"step {report.index}: no record can hold the answer: {error}")
                self.drained(report.ghoul, {})
                return False
        self.book.step(entry, report.index, report.result)
        self.book.ghouls[report.ghoul].seen = self.ctx.now()
        return True

    def job_ended(self, report: JobEnded) -> None:
        entry = self.book.owns(report.ghoul, report.epoch, report.job)
        if entry is None:
            return
        self.end(entry, report.error)
        self.drained(report.ghoul, {})

    # ── parking ─────────────────────────────────────────────────────────────────────────────

    def open_changed(self, change: CapabilitiesOpen) -> None:
        """New admission: what may run, and where a dominating signal waits (W14)."""
        self.allowed, self.dominated = change.open, change.dominated

    def interrupt(self) -> None:
        """Where every slot is taken and a reflex waits, the cheapest job gives way (W14).

        One at a time: when it has put its job down and somebody still waits, the next one goes.
        """
        running = self.book.running_on(self.dominated)
        if any(entry.status == "parking" for entry in running):
            return
        occupants = [
            Running(entry.job.id, entry.job.klass, entry.tokens(), parks=True) for entry in running
        ]
        chosen = cheapest(occupants, "reflex", self.prefill_rate(), self.model.rules)
        if chosen is not None:
            entry = self.book.jobs[chosen.id]
            entry.status = "parking"
            self.order_park(entry, epoch=0)

    def prefill_rate(self) -> float:
        """Tokens a second at which a parked context is read again, at the slowest soulstone."""
        return min((stone.prefill_rate for stone in self.model.soulstones.values()), default=1.0)

    def drain(self, order: DrainGhouls) -> None:
        """Park the jobs on these soulstones; confirm when every ghoul has (W20)."""
        closing = self.catalog.served_by(frozenset(order.soulstones))
        self.allowed = self.allowed - closing
        entries = self.book.park(closing)
        waiting = {entry.ghoul for entry in entries if entry.ghoul}
        self.drains[order.epoch] = Drain(order, waiting, {})
        for entry in entries:
            self.order_park(entry, order.epoch)
        self.finish_drains()

    def order_park(self, entry: JobEntry, epoch: int) -> None:
        ghoul = self.book.ghouls.get(entry.ghoul or "")
        if ghoul is not None:
            order = ParkJob(epoch=epoch, reply_to="broker@core")
            self.ctx.tell(self.ctx.system.address(ghoul.address), order)

    def given_back(self, confirm: Drained) -> None:
        """A ghoul put its job down (asked to, or refused by the gate): it is queued again.

        Only the job that the confirmation names: the ghoul may have been given another one since.
        One that names none crossed the order or the end of a job, which will be heard of.
        """
        ghoul = self.book.ghouls.get(confirm.node)
        if ghoul is None:
            return
        job = self.book.jobs.get(ghoul.job) if ghoul.job in confirm.boundaries else None
        if job is not None and job.open:
            self.book.give_back(job)
            self.records.mark(job.job, begun=False)
            self.event(
                f"job {job.job.id} parked at step {len(job.results)} of {len(job.job.steps)}"
            )
        if ghoul.job is None:
            self.drained(confirm.node, confirm.boundaries)

    def drained(self, ghoul: str, boundaries: dict[str, int]) -> None:
        for drain in self.drains.values():
            drain.waiting.discard(ghoul)
            drain.boundaries.update(boundaries)
        self.finish_drains()

    def finish_drains(self) -> None:
        for epoch, drain in list(self.drains.items()):
            if not drain.waiting:
                del self.drains[epoch]
                self.ctx.tell(
                    self.ctx.system.address(drain.order.reply_to),
                    Drained(epoch=epoch, node="broker", active=0, boundaries=drain.boundaries),
                )

    def sweep(self) -> None:
        self.ctx.timer("sweep", 1.0, Sweep())
        self.store_ends()
        for name in self.book.silent(self.ctx.now(), GHOUL_SILENCE_SECONDS):
            self.event(f"ghoul {name} is silent; its job is free again")
            self.drained(name, {})

    # ── what follows from every change ──────────────────────────────────────────────────────

    def settle(self) -> None:
        """Hand out jobs, and keep the dispatcher's signals equal to the jobs that wait."""
        now = self.ctx.now()
        self.interrupt()
        allowed = self.allowed - self.dominated if now >= self.assign_from else frozenset[str]()
        if now >= self.assign_from:
            for entry in self.book.doubtful():
                self.end(entry, UNCLEAR)
        for entry in self.book.unwanted():
            self.end(entry, WITHDRAWN)
        for order in self.book.assign(allowed, now):
            self.hand_out(order)
        waiting = self.book.waiting()
        added = [
            SignalNote(
                id=f"job:{job}",
                capability=entry.job.capability,
                klass=entry.job.klass,
                arrived=entry.arrived,
            )
            for job, entry in waiting.items()
            if job not in self.announced
        ]
        removed = [f"job:{job}" for job in self.announced - waiting.keys()]
        if added or removed:
            self.announced = set(waiting)
            self.ctx.tell("dispatcher", SignalsChanged(gate="broker", added=added, removed=removed))

    def hand_out(self, order: Assignment) -> None:
        """Give a job to its ghoul; one that is too large to get there has failed.

        Where the store has no room for that it is begun, it is not, and is handed out later (P4).
        """
        try:
            self.records.mark(order.job, begun=True)
        except ReplyError as refusal:
            log.warning("job %s is not handed out yet: %s", order.job.id, refusal)
            self.book.give_back(self.book.jobs[order.job.id])
            return
        address = self.ctx.system.address(order.address)
        try:
            self.ctx.tell(address, RunJob(epoch=order.epoch, job=order.job))
        except FrameError as error:
            self.end(self.book.jobs[order.job.id], f"it reaches no ghoul: {error}")

    def event(self, text: str) -> None:
        self.ctx.tell("console", Event("job", self.ctx.now(), text))
