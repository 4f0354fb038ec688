"""What the dispatcher knows of each gate: what it told, what it was told, what it may believe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from covend.actors.admission.catalog import Catalog
from covend.actors.admission.slots import fair_share, safe_grant
from covend.actors.messages import DrainGates
from covend.protocol import InUse, SignalNote


@dataclass(slots=True)
class GateEntry:
    """What one gate has told, and what it has been told.

    ``inherited``: it goes by an admission of a dispatcher before this one, which nobody knows here.
    """

    incarnation: int
    inherited: bool = False
    signals: dict[str, SignalNote] = field(default_factory=dict[str, SignalNote])
    in_use: dict[str, InUse] = field(default_factory=dict[str, InUse])
    sent: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    seen: float = 0.0

    def uses(self, soulstone: str) -> int:
        """How many slots of a soulstone this gate has in flight."""
        used = self.in_use.get(soulstone)
        return sum(used.count.values()) if used else 0

    def believes(self, soulstone: str, total: int) -> int:
        """The most slots this gate may still count on: what it was sent, and what it uses (W8)."""
        sent = max((grant.get(soulstone, 0) for grant in self.sent.values()), default=0)
        return max(total if self.inherited else 0, sent, self.uses(soulstone))

    def acknowledge(self, epoch: int) -> None:
        """The gate applied ``epoch``: what was sent before it is no longer believed."""
        if epoch in self.sent:
            self.inherited = False
        for older in [sent for sent in self.sent if sent < epoch]:
            del self.sent[older]


@dataclass(slots=True)
class GateDrain:
    """One transition waits for these gates to have nothing in flight."""

    order: DrainGates
    waiting: set[str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody need wait for a capability, and until when: then it is tried again (W24)."""

    reason: str
    until: float


def grants(
    gates: Mapping[str, GateEntry], open: Iterable[str], catalog: Catalog
) -> dict[str, dict[str, int]]:
    """The slots of each open soulstone that each gate may use now (W8)."""
    granted: dict[str, dict[str, int]] = {name: {} for name in gates}
    for soulstone in sorted(open):
        spec = catalog.soulstones.get(soulstone)
        if spec is not None:
            for gate, slots in divide(gates, soulstone, spec.slots, catalog).items():
                granted[gate][soulstone] = slots
    return granted


def divide(
    gates: Mapping[str, GateEntry], soulstone: str, total: int, catalog: Catalog
) -> dict[str, int]:
    """One soulstone's slots per gate: where they are used, then where requests wait for them."""
    if len(gates) < 2:
        return dict.fromkeys(gates, total)
    in_use = {name: entry.uses(soulstone) for name, entry in gates.items()}
    wants = {
        name: sum(
            soulstone in catalog.serving.get(note.capability, ()) for note in entry.signals.values()
        )
        for name, entry in gates.items()
    }
    believed = {name: entry.believes(soulstone, total) for name, entry in gates.items()}
    return safe_grant(total, fair_share(total, in_use, wants), believed)


def usage(
    gates: Iterable[GateEntry],
) -> tuple[
    dict[str, dict[str, int]], dict[str, dict[str, float]], dict[str, float], dict[str, int]
]:
    """In flight, last active per class, last byte and live tokens, per soulstone."""
    in_flight: dict[str, dict[str, int]] = {}
    active: dict[str, dict[str, float]] = {}
    last_byte: dict[str, float] = {}
    tokens: dict[str, int] = {}
    for entry in gates:
        for name, used in entry.in_use.items():
            counts = in_flight.setdefault(name, {})
            for klass, count in used.count.items():
                counts[klass] = counts.get(klass, 0) + count
            latest = active.setdefault(name, {})
            for klass, when in used.last_active.items():
                latest[klass] = max(latest.get(klass, 0.0), when)
            last_byte[name] = max(last_byte.get(name, 0.0), used.last_byte)
            tokens[name] = tokens.get(name, 0) + used.tokens
    return in_flight, active, last_byte, tokens


def flowing(gates: Iterable[GateEntry], soulstone: str) -> int:
    """How many answers of one soulstone flow, over all gates (W26)."""
    uses = (entry.in_use.get(soulstone) for entry in gates)
    return sum(used.streams for used in uses if used is not None)
