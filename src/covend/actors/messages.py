"""What the core's actors say to each other inside the core process.

Messages that cross processes are in ``covend.protocol``; these never leave the core, so they have
no tag. A class attribute ``lane`` puts a message on the control lane (S11).
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from covend.config import Box
from covend.protocol import SignalNote
from covend.runtime import CONTROL, Lane, Message

# ── dispatcher → arbiter, arbiter → dispatcher ───────────────────────────────────────────────


class DemandChanged(Message, frozen=True):
    """What began and ceased to wait since the last such message, and what is in flight (W9).

    The arbiter folds the signals into its book of demand; the usage replaces the last one.
    ``whole`` demand replaces the book; what has a lower ``number`` and arrives after it is old.
    """

    at: float
    added: tuple[SignalNote, ...]
    removed: tuple[str, ...]
    in_flight: dict[str, dict[str, int]]
    last_active: dict[str, dict[str, float]]
    last_byte: dict[str, float]
    tokens: dict[str, int]
    number: int
    whole: bool = False


class ServiceLearned(Message, frozen=True):
    """A request ended: what it asked for, and its service seconds on a soulstone (W10, W6)."""

    soulstone: str
    capability: str
    klass: str
    service: float


class SetOpen(Message, frozen=True):
    """Exactly these soulstones are open; ``eta`` is the plan for cold capabilities (G3).

    On the lane of the drains: an opening from before a drain must not be handled after it (W20).
    """

    soulstones: frozenset[str]
    eta: dict[str, float]
    lane: ClassVar[Lane] = CONTROL


class GiveUpOn(Message, frozen=True):
    """Refuse what waits for capabilities that only quarantined covens serve (W24)."""

    capabilities: tuple[str, ...]
    reason: str
    retry_after: float
    lane: ClassVar[Lane] = CONTROL


class DemandNow(Message, frozen=True):
    """An ask: the ``DemandChanged`` of this moment, for the recheck before an intent (W21)."""


# ── draining: coven → dispatcher and broker → coven → arbiter ────────────────────────────────


class DrainGates(Message, frozen=True):
    """Close admission on these soulstones everywhere and report when nothing is in flight."""

    epoch: int
    soulstones: tuple[str, ...]
    deadline: float
    reply_to: str
    lane: ClassVar[Lane] = CONTROL


class DrainGhouls(Message, frozen=True):
    """Park every job that uses these soulstones and report when no step is in flight."""

    epoch: int
    soulstones: tuple[str, ...]
    deadline: float
    reply_to: str
    lane: ClassVar[Lane] = CONTROL


class Reopen(Message, frozen=True):
    """The drain of ``epoch`` is off: whoever still waits for it forgets it (W21, W24)."""

    epoch: int
    lane: ClassVar[Lane] = CONTROL


class CovenDrained(Message, frozen=True):
    """Gates and ghouls have both confirmed ``epoch`` for this coven (W20)."""

    coven: str
    epoch: int
    boundaries: dict[str, int]
    lane: ClassVar[Lane] = CONTROL


# ── soulstones and watchdogs → arbiter ───────────────────────────────────────────────────────


class SoulstoneReady(Message, frozen=True):
    """Its health answered; ``load_seconds`` from process start to readiness (W23)."""

    name: str
    pid: int
    load_seconds: float
    lane: ClassVar[Lane] = CONTROL


class SoulstoneDown(Message, frozen=True):
    """Its process is gone, or was never there when its actor looked (W26)."""

    name: str
    pid: int | None
    evidence: dict[str, Any]
    lane: ClassVar[Lane] = CONTROL


class SoulstoneHealth(Message, frozen=True):
    """One health probe: for the watchdog, and for the routing of shared soulstones (W4)."""

    name: str
    ok: bool
    detail: str


class Traffic(Message, frozen=True):
    """What is in flight on one soulstone, and when any byte last came from it (W26).

    ``streams`` of the answers flow; of the others nothing comes for as long as they are made.
    """

    in_flight: int
    last_byte: float
    streams: int = 0


class HardReset(Message, frozen=True):
    """The watchdog's verdict: kill it, wait until its memory is free, start it again (W26)."""

    name: str
    cause: str
    evidence: dict[str, Any]
    lane: ClassVar[Lane] = CONTROL


# ── oculus ───────────────────────────────────────────────────────────────────────────────────


class MemoryReading(Message, frozen=True):
    """Measured bytes per device: capacity, in use, by strangers, and by each soulstone."""

    at: float
    capacity: dict[str, int]
    used: dict[str, int]
    foreign: dict[str, int]
    soulstones: dict[str, dict[str, int]]


class ReadNow(Message, frozen=True):
    """An ask: measure now rather than at the next tick (W1: before every start)."""


# ── broker ───────────────────────────────────────────────────────────────────────────────────


class CapabilitiesOpen(Message, frozen=True):
    """What a job may be run on now, and what dominating signals wait for (W14)."""

    open: frozenset[str]
    dominated: frozenset[str]


class BrokerStarted(Message, frozen=True):
    """From a broker that has just begun: it knows nothing of what is open, and tells of every job
    that waits; what one before it told counts no more.
    """


# ── events and configuration ─────────────────────────────────────────────────────────────────


class Event(Message, frozen=True):
    """Something a person may want to know: a transition's phase, an alert, a restart."""

    kind: str
    at: float
    text: str
    data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class Alert(Message, frozen=True):
    """Something an operator must know (W27): shown, logged, recorded, with its evidence."""

    text: str
    data: dict[str, Any]


class NewConfig(Message, frozen=True):
    """A checked configuration that replaces the one in force (G10)."""

    box: Box


class ConfigInForce(Message, frozen=True):
    """The arbiter goes by this configuration now; whoever routes by it may as well (G10)."""

    box: Box


class Snapshot(Message, frozen=True):
    """An ask: this actor's part of ``covend status`` as plain data."""
