"""What the core's actors say to each other inside the core process.

Messages that cross processes are in ``covend.protocol``; these never leave the core, so they are
plain frozen dataclasses. A class attribute ``lane`` puts a message on the control lane (S11).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from covend.config import Box
from covend.protocol import SignalNote
from covend.runtime import CONTROL, Lane

# ── dispatcher → arbiter, arbiter → dispatcher ───────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class DemandChanged:
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


@dataclass(frozen=True, slots=True)
class ServiceLearned:
    """A request ended: what it asked for, and its service seconds on a soulstone (W10, W6)."""

    soulstone: str
    capability: str
    klass: str
    service: float


@dataclass(frozen=True, slots=True)
class SetOpen:
    """Exactly these soulstones are open; ``eta`` is the plan for cold capabilities (G3).

    On the lane of the drains: an opening from before a drain must not be handled after it (W20).
    """

    soulstones: frozenset[str]
    eta: dict[str, float]
    lane: ClassVar[Lane] = CONTROL


@dataclass(frozen=True, slots=True)
class GiveUpOn:
    """Refuse what waits for capabilities that only quarantined covens serve (W24)."""

    capabilities: tuple[str, ...]
    reason: str
    retry_after: float
    lane: ClassVar[Lane] = CONTROL


@dataclass(frozen=True, slots=True)
class DemandNow:
    """An ask: the ``DemandChanged`` of this moment, for the recheck before an intent (W21)."""


# ── draining: coven → dispatcher and broker → coven → arbiter ────────────────────────────────


@dataclass(frozen=True, slots=True)
class DrainGates:
    """Close admission on these soulstones everywhere and report when nothing is in flight."""

    epoch: int
    soulstones: tuple[str, ...]
    deadline: float
    reply_to: str
    lane: ClassVar[Lane] = CONTROL


@dataclass(frozen=True, slots=True)
class DrainGhouls:
    """Park every job that uses these soulstones and report when no step is in flight."""

    epoch: int
    soulstones: tuple[str, ...]
    deadline: float
    reply_to: str
    lane: ClassVar[Lane] = CONTROL


@dataclass(frozen=True, slots=True)
class Reopen:
    """The drain of ``epoch`` is off: whoever still waits for it forgets it (W21, W24)."""

    epoch: int
    lane: ClassVar[Lane] = CONTROL


@dataclass(frozen=True, slots=True)
class CovenDrained:
    """Gates and ghouls have both confirmed ``epoch`` for this coven (W20)."""

    coven: str
    epoch: int
    boundaries: dict[str, int]
    lane: ClassVar[Lane] = CONTROL


# ── soulstones and watchdogs → arbiter ───────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class SoulstoneReady:
    """Its health answered; ``load_seconds`` from process start to readiness (W23)."""

    name: str
    pid: int
    load_seconds: float
    lane: ClassVar[Lane] = CONTROL


@dataclass(frozen=True, slots=True)
class SoulstoneDown:
    """Its process is gone, or was never there when its actor looked (W26)."""

    name: str
    pid: int | None
    evidence: dict[str, Any]
    lane: ClassVar[Lane] = CONTROL


@dataclass(frozen=True, slots=True)
class SoulstoneHealth:
    """One health probe: for the watchdog, and for the routing of shared soulstones (W4)."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is in flight on one soulstone, and when any byte last came from it (W26).

    ``streams`` of the answers flow; of the others nothing comes for as long as they are made.
    """

    in_flight: int
    last_byte: float
    streams: int = 0


@dataclass(frozen=True, slots=True)
class HardReset:
    """The watchdog's verdict: kill it, wait until its memory is free, start it again (W26)."""

    name: str
    cause: str
    evidence: dict[str, Any]
    lane: ClassVar[Lane] = CONTROL


# ── oculus ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Measured bytes per device: capacity, in use, by strangers, and by each soulstone."""

    at: float
    capacity: dict[str, int]
    used: dict[str, int]
    foreign: dict[str, int]
    soulstones: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class ReadNow:
    """An ask: measure now rather than at the next tick (W1: before every start)."""


# ── broker ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CapabilitiesOpen:
    """What a job may be run on now, and what dominating signals wait for (W14)."""

    open: frozenset[str]
    dominated: frozenset[str]


@dataclass(frozen=True, slots=True)
class BrokerStarted:
    """From a broker that has just begun: it knows nothing of what is open, and tells of every job
    that waits; what one before it told counts no more.
    """


# ── events and configuration ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person may want to know: a transition's phase, an alert, a restart."""

    kind: str
    at: float
    text: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Alert:
    """Something an operator must know (W27): shown, logged, recorded, with its evidence."""

    text: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewConfig:
    """A checked configuration that replaces the one in force (G10)."""

    box: Box


@dataclass(frozen=True, slots=True)
class ConfigInForce:
    """The arbiter goes by this configuration now; whoever routes by it may as well (G10)."""

    box: Box


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An ask: this actor's part of ``covend status`` as plain data."""
