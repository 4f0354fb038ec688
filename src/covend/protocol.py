"""The messages that cross processes on one box, as typed structs.

Everything a gate, a ghoul worker, the reactor, the root and the command line say to the core's
actors, and the other way round. Times are ``time.monotonic()`` seconds, one clock for all
processes of a boot; sizes are bytes. docs/architecture.md has the table of who says what, when.
"""

from __future__ import annotations

from typing import Any

from covend.runtime import CONTROL, Message, message

CONSOLE = "console@core"
"""Who answers the command line, agents and the demo about the box itself."""
CLASSES = ("reflex", "ritual", "ingest", "swarm")
"""The priority classes, highest first for ties (W7)."""


# ── gate → dispatcher ────────────────────────────────────────────────────────────────────────


class SignalNote(Message, frozen=True):
    """One request that waits: which capability, which class, since when (W9)."""

    id: str
    capability: str
    klass: str
    arrived: float


class InUse(Message, frozen=True):
    """What one gate has in flight on one soulstone.

    ``count`` is in flight per class. ``last_active`` is when a request of each class last began or
    ended there (W12 think, W13 linger). ``last_byte`` is when any byte last came from the soulstone
    (W26 stall), ``tokens`` an estimate of live context tokens (W10), ``streams`` how many of the
    answers flow: they have begun, and their readers keep up (W26).
    """

    count: dict[str, int]
    last_active: dict[str, float]
    last_byte: float
    tokens: int = 0
    streams: int = 0


class Served(Message, frozen=True):
    """One finished request, for learning service times (W10)."""

    soulstone: str
    capability: str
    klass: str
    waited: float
    service: float
    ok: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0


@message("gate.announce")
class Announce(Message, frozen=True):
    """Full state of one gate; replaces whatever the dispatcher believed of it.

    ``admission`` is the epoch of the last ``Admission`` applied: a slot that was taken from this
    gate may be given to another only once that is seen.
    """

    gate: str
    incarnation: int
    signals: list[SignalNote]
    in_use: dict[str, InUse]
    admission: int = 0


@message("gate.signals")
class SignalsChanged(Message, frozen=True):
    """Requests that began to wait, and ids of those that ceased to (served, refused, gone)."""

    gate: str
    added: list[SignalNote]
    removed: list[str]


@message("gate.usage")
class UsageChanged(Message, frozen=True):
    """What is in flight now, per soulstone, and what ended since the last such message."""

    gate: str
    in_use: dict[str, InUse]
    served: list[Served]
    admission: int = 0


@message("gate.broke")
class UpstreamBroke(Message, frozen=True):
    """A soulstone refused or cut a connection: a hint, the watchdog judges."""

    gate: str
    soulstone: str
    reason: str


# ── core → gate ──────────────────────────────────────────────────────────────────────────────


@message("core.hello")
class CoreHello(Message, frozen=True):
    """The core (re)started: announce yourself to ``dispatcher@core``."""

    incarnation: int


@message("core.admission")
class Admission(Message, frozen=True):
    """What this gate may send where: soulstone → its slots. What is missing is closed.

    ``eta`` is the plan's estimate in seconds per cold capability (Retry-After, G3). ``epoch`` grows
    with every message; an older one is dropped.
    """

    epoch: int
    open: dict[str, int]
    eta: dict[str, float]


@message("core.pause", lane=CONTROL)
class PauseAdmission(Message, frozen=True):
    """Close admission on these soulstones and confirm with ``DrainConfirm(epoch, 0)`` once idle.

    ``deadline`` is absolute; the gate never cuts a stream for it, the arbiter decides (W20).
    ``reply_to`` is the address of the actor that waits for the confirmation. ``admission`` is the
    epoch of the ``Admission`` that said the same: this message overtakes older ones, and none of
    those may open what it closed.
    """

    epoch: int
    soulstones: list[str]
    deadline: float
    reply_to: str
    admission: int


@message("core.drained", lane=CONTROL)
class Drained(Message, frozen=True):
    """``node`` has nothing in flight on the soulstones of ``epoch`` (the box's DrainConfirm)."""

    epoch: int
    node: str
    active: int
    boundaries: dict[str, int]


@message("core.refuse")
class RefuseWaiting(Message, frozen=True):
    """Refuse what waits for ``capability`` with this status and reason (W24)."""

    capability: str
    status: int
    reason: str
    retry_after: float | None = None


@message("core.reload", lane=CONTROL)
class ReloadConfig(Message, frozen=True):
    """Read the configuration file again; it was checked as a whole already (G10)."""

    path: str


# ── arbiter ↔ reactor ────────────────────────────────────────────────────────────────────────


@message("reactor.posted", lane=CONTROL)
class IntentPosted(Message, frozen=True):
    """A hint that an intent file is there; the file is the authority (W22)."""

    id: str


@message("reactor.world", lane=CONTROL)
class WorldChanged(Message, frozen=True):
    """A hint that a soulstone was started, is gone, or an intent was carried out."""

    reason: str
    soulstone: str | None = None
    intent: str | None = None


@message("reactor.refused", lane=CONTROL)
class IntentRefused(Message, frozen=True):
    """The reactor refused an intent and changed nothing, or gave it up half way.

    In the second case a ``WorldChanged`` came before. ``stale``: the world was not the one that was
    expected; the same may be asked again.
    """

    intent: str
    reason: str
    stale: bool = False


# ── ghouls ↔ broker ──────────────────────────────────────────────────────────────────────────


class Step(Message, frozen=True):
    """One atomic step of a job: one call through the gate."""

    path: str
    body: dict[str, Any]


class Job(Message, frozen=True):
    """A list of calls to make through the gate, one atomic step each.

    ``done`` counts the steps whose results are already durable: the worker goes on after them.
    ``once`` says that a step which may have been made is not made again (P4).
    """

    id: str
    capability: str
    klass: str
    steps: list[Step]
    done: int = 0
    once: bool = False


@message("ghoul.hello")
class GhoulHello(Message, frozen=True):
    """A ghoul actor is there; ``job`` is what it works on, under ``epoch``. Said every second."""

    ghoul: str
    address: str
    epoch: int
    job: str | None


@message("ghoul.run")
class RunJob(Message, frozen=True):
    """Run this job from its boundary; ``epoch`` fences every report about it."""

    epoch: int
    job: Job


@message("ghoul.step")
class StepDone(Message, frozen=True):
    """An ask: step ``index`` of ``job`` gave ``result``; the answer means it is durable."""

    ghoul: str
    epoch: int
    job: str
    index: int
    result: dict[str, Any]


@message("ghoul.ended")
class JobEnded(Message, frozen=True):
    """The job's last step is durable, or it failed with ``error``."""

    ghoul: str
    epoch: int
    job: str
    error: str | None


@message("ghoul.park", lane=CONTROL)
class ParkJob(Message, frozen=True):
    """SIG_SOFT_STOP for a ghoul: finish the atomic step, keep the boundary, confirm (S17)."""

    epoch: int
    reply_to: str


# ── command line → console ───────────────────────────────────────────────────────────────────


@message("console.status")
class StatusQuery(Message, frozen=True):
    """Answered with the box's state as plain data: devices, covens, queue, transition, jobs."""


@message("console.ps")
class PsQuery(Message, frozen=True):
    """Answered with one process's supervision tree as plain data (any node answers on ``ps``)."""


@message("console.swap")
class SwapRequest(Message, frozen=True):
    """Make ``coven`` resident; answered when it is open or has failed."""

    coven: str
    timeout: float = 300.0


@message("console.why")
class WhyQuery(Message, frozen=True):
    """Answered with the record of a decision, transition or request, with its reasons (W18)."""

    id: str


@message("console.submit")
class SubmitJob(Message, frozen=True):
    """Queue a ghoul job; answered with its id once it is durable.

    ``tell`` is the address that hears its end (``JobFinished``), also where it has ended already.
    ``once`` is as in ``Job``. ``run`` is the run that it works for: what it was asked and what it
    answered is purged with that run's working records (D4).
    """

    capability: str
    steps: list[Step]
    klass: str = "ritual"
    id: str | None = None
    tell: str | None = None
    once: bool = False
    run: str | None = None


@message("job.finished")
class JobFinished(Message, frozen=True):
    """A job that was submitted with an address has ended, with these results or this error.

    ``unclear``: nobody knows whether its last step was made, and it must not be made again.
    """

    id: str
    error: str | None
    results: list[dict[str, Any]]
    unclear: bool = False


@message("job.cancel")
class CancelJob(Message, frozen=True):
    """End a job that nobody works on; one that a ghoul has goes on, and is heard of."""

    id: str


@message("console.job")
class JobQuery(Message, frozen=True):
    """Answered with a job's state, boundary and results."""

    id: str


@message("console.events")
class EventsQuery(Message, frozen=True):
    """Answered with the box's events (transitions, alerts, restarts) after sequence ``after``."""

    after: int
    limit: int = 200


@message("root.stop", lane=CONTROL)
class StopBox(Message, frozen=True):
    """Stop the whole box in order; answered as soon as the stop has begun."""
