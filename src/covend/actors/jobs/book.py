"""The book of ghoul jobs: pure state, no actor, no I/O.

| state | meaning | leaves it by |
|---|---|---|
| queued | nobody works on it | assign |
| running | a ghoul has it, fenced by ``epoch`` | step, park, end, the ghoul's silence |
| parking | its ghoul was told to stop after the step | given back, end |
| done, failed | over | never |

A job given back keeps its boundary (``done`` steps), so the next ghoul begins after them. A ghoul
that died may have been in the middle of a step. No gate and no soulstone can take up half an
answer, so the next ghoul makes that step again: at least once, since a model of this box costs time
and no money. A job that says ``once`` is not handed out again then; it is ``doubtful`` (P4). Nor is
one that nobody waits for any more: it would be demand for hardware, again and again (W9).
"""

# What a ghoul says travels while an order travels to it. So a ghoul that says it has no job is
# believed only if it has seen the order (its epoch tells), or if the order must be lost by now.

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import msgspec

from covend.protocol import Job

JobStatus = Literal["queued", "running", "parking", "done", "failed"]


ORDER_SECONDS = 2.5
"""An order that its ghoul has not mentioned for this long is lost."""

UNCLEAR = "nobody knows whether its step was made: who made it died in the middle"
"""The error of a ``once`` job that must not be handed out again (P4)."""


def step_body(index: int, result: dict[str, Any]) -> dict[str, Any]:
    """What the record of a step says; only a result that is canonical in it can be kept (D1)."""
    return {"index": index, "result": result}


@dataclass(slots=True)
class JobEntry:
    """One job: its status, who has it under which epoch, and the results so far.

    ``begun`` says of a ``once`` job that it was handed out and not put down since, ``unwanted``
    that nobody waits for it, ``purged`` that only its end is known any more (D4).
    """

    job: Job
    arrived: float
    status: JobStatus = "queued"
    parked: int = 0
    ghoul: str | None = None
    epoch: int = 0
    begun: bool = False
    unwanted: bool = False
    purged: bool = False
    results: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    error: str | None = None

    @property
    def doubtful(self) -> bool:
        """Whether nobody has it, and somebody may have been in the middle of its next step."""
        return self.status == "queued" and self.begun and len(self.results) < len(self.job.steps)

    @property
    def open(self) -> bool:
        return self.status in ("queued", "running", "parking")

    def tokens(self) -> int:
        """Live context, by what the last step's answer said it used."""
        usage: Any = self.results[-1].get("usage") if self.results else None
        return int(cast(dict[str, int], usage).get("total_tokens", 0)) if usage else 0

    def rest(self) -> Job:
        """The job as the next ghoul gets it: with its boundary."""
        return msgspec.structs.replace(self.job, done=len(self.results))


@dataclass(slots=True)
class GhoulEntry:
    """One worker: where it is, when it last spoke, what it works on and since when."""

    address: str
    seen: float
    job: str | None = None
    ordered: float = 0.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """Hand ``job`` to the ghoul at ``address`` under ``epoch``."""

    ghoul: str
    address: str
    epoch: int
    job: Job


class JobBook:
    """All jobs and ghouls, and the rules by which they meet."""

    def __init__(self, epoch: int = 0) -> None:
        self.jobs: dict[str, JobEntry] = {}
        self.over: deque[str] = deque()
        """Jobs that have ended and are not forgotten, oldest end first."""
        self.forgotten = {"done": 0, "failed": 0}
        self.ghouls: dict[str, GhoulEntry] = {}
        self.epoch = epoch

    def submit(self, job: Job, now: float) -> JobEntry:
        """Take a job in; one that is known already is the same job (idempotent by id)."""
        return self.jobs.setdefault(job.id, JobEntry(job, now))

    def hello(self, name: str, address: str, job: str | None, epoch: int, now: float) -> None:
        """A ghoul spoke: it has ``job``, and has seen orders up to ``epoch``.

        After a core restart, or a silence, it may still have a job that is queued here: it keeps
        it, unless it gave this very job back since.
        """
        entry = self.ghouls.setdefault(name, GhoulEntry(address, now))
        entry.address, entry.seen = address, now
        self.epoch = max(self.epoch, epoch)
        known = self.jobs.get(job) if job else None
        if known and known.status == "queued" and entry.job is None and epoch >= known.epoch:
            known.status, known.ghoul, known.epoch = "running", name, epoch
            entry.job, entry.ordered = known.job.id, now
        if job is None and entry.job is not None:
            ordered = self.jobs[entry.job]
            if epoch >= ordered.epoch:
                ordered.begun = False  # it knows of the job, and has put it down
                self._release(ordered)
            elif now - entry.ordered > ORDER_SECONDS:
                self._release(ordered)  # it was restarted, or never got the order

    def assign(self, allowed: frozenset[str], now: float) -> list[Assignment]:
        """Oldest queued jobs of the allowed capabilities to free ghouls."""
        free = [name for name, ghoul in sorted(self.ghouls.items()) if ghoul.job is None]
        ready = sorted(
            (
                entry
                for entry in self.jobs.values()
                if entry.status == "queued"
                and entry.job.capability in allowed
                and not entry.doubtful
            ),
            key=lambda entry: entry.arrived,
        )
        orders: list[Assignment] = []
        for name, entry in zip(free, ready, strict=False):
            self.epoch += 1
            entry.status, entry.ghoul, entry.epoch = "running", name, self.epoch
            entry.begun = entry.job.once
            self.ghouls[name].job = entry.job.id
            self.ghouls[name].seen = self.ghouls[name].ordered = now
            orders.append(Assignment(name, self.ghouls[name].address, self.epoch, entry.rest()))
        return orders

    def owns(self, ghoul: str, epoch: int, job: str) -> JobEntry | None:
        """The entry if this ghoul holds the job under this epoch, else nothing: it is stale."""
        entry = self.jobs.get(job)
        if entry and entry.open and entry.ghoul == ghoul and entry.epoch == epoch:
            return entry
        return None

    def step(self, entry: JobEntry, index: int, result: dict[str, Any]) -> bool:
        """Take one step's result in, once; ``False`` for one that is known already."""
        if index != len(entry.results):
            return False
        entry.results.append(result)
        return True

    def end(self, entry: JobEntry, error: str | None) -> None:
        """The job is over; its ghoul is free."""
        self._free(entry)
        if entry.open:
            self.over.append(entry.job.id)
        entry.status, entry.error = ("failed" if error else "done"), error

    def forget(self, keep: int) -> None:
        """Forget all but the last ``keep`` jobs that have ended; they are counted, and stored."""
        while len(self.over) > keep:
            entry = self.jobs.pop(self.over.popleft())
            self.forgotten["failed" if entry.error else "done"] += 1

    def give_back(self, entry: JobEntry) -> None:
        """The job is parked at its boundary; its ghoul is free, and older news of it is stale."""
        entry.begun = False
        self._release(entry)
        entry.epoch += 1
        entry.parked += 1

    def park(self, capabilities: frozenset[str]) -> list[JobEntry]:
        """Mark the running jobs of these capabilities; the caller tells their ghouls."""
        entries = self.running_on(capabilities)
        for entry in entries:
            entry.status = "parking"
        return entries

    def running_on(self, capabilities: frozenset[str]) -> list[JobEntry]:
        """The jobs of these capabilities that a ghoul has."""
        return [
            entry
            for entry in self.jobs.values()
            if entry.status in ("running", "parking") and entry.job.capability in capabilities
        ]

    def silent(self, now: float, limit: float) -> list[str]:
        """Forget ghouls that have not spoken for ``limit`` seconds; their jobs are free again."""
        gone = [name for name, ghoul in self.ghouls.items() if now - ghoul.seen > limit]
        for name in gone:
            job = self.ghouls.pop(name).job
            if job is not None:
                self._release(self.jobs[job])
        return gone

    def doubtful(self) -> list[JobEntry]:
        """The jobs that must not be handed out again, whose ghoul is gone (P4)."""
        return [entry for entry in self.jobs.values() if entry.doubtful]

    def unwanted(self) -> list[JobEntry]:
        """The jobs that nobody works on and nobody waits for."""
        return [one for one in self.jobs.values() if one.status == "queued" and one.unwanted]

    def waiting(self) -> dict[str, JobEntry]:
        """The jobs nobody works on, by id: each is a signal (W9)."""
        return {job: entry for job, entry in self.jobs.items() if entry.status == "queued"}

    def counts(self) -> dict[str, int]:
        """How many jobs are queued, running, parked (queued after having run), done, failed."""
        counts = {"queued": 0, "running": 0, "parked": 0, **self.forgotten}
        for entry in self.jobs.values():
            status = "running" if entry.status == "parking" else entry.status
            if status == "queued" and entry.results:
                status = "parked"
            counts[status] += 1
        return counts

    def _release(self, entry: JobEntry) -> None:
        self._free(entry)
        entry.status, entry.ghoul = "queued", None

    def _free(self, entry: JobEntry) -> None:
        ghoul = self.ghouls.get(entry.ghoul or "")
        if ghoul is not None and ghoul.job == entry.job.id:
            ghoul.job = None
