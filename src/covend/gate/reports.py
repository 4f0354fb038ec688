"""What the gate tells the core: who waits, what is in flight, what ended. Coalesced, never waiting.

The core is told; it is never asked. What a dead core misses, the next one gets as an ``Announce``
(docs/architecture.md). Everything runs in the gate's loop.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from covend.gate.admission import Desk, Ticket
from covend.gate.usage import tokens_in
from covend.protocol import (
    Announce,
    Drained,
    InUse,
    PauseAdmission,
    Served,
    SignalNote,
    SignalsChanged,
    UpstreamBroke,
    UsageChanged,
)

log = logging.getLogger(__name__)

USAGE_SECONDS = 0.020
BEAT_SECONDS = 1.0
"""While anything is in flight, usage is told this often even if no count changed (W26 stall)."""
SERVED_PER_REPORT = 16
"""Samples per soulstone and report: the core learns medians from them, not totals."""


class CoreLink(Protocol):
    """The way to the core. Both methods are thread-safe and never block."""

    def send(self, message: object) -> None:
        """Tell ``dispatcher@core``."""
        ...

    def send_to(self, address: str, message: object) -> None:
        """Tell any actor of the box."""
        ...


class Reports:
    """Collects changes and tells the core about them once per tick or per 20 ms."""

    def __init__(self, link: CoreLink, name: str, incarnation: int) -> None:
        self.link = link
        self.name = name
        self.incarnation = incarnation
        self.admission = 0
        self.desk: Desk | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.added: dict[str, SignalNote] = {}
        self.removed: set[str] = set()
        self.ended: dict[str, list[Served]] = {}
        self.drains: dict[int, PauseAdmission] = {}
        self.signals_due = False
        self.usage_timer: asyncio.TimerHandle | None = None
        self.beat_timer: asyncio.TimerHandle | None = None

    def start(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to tell; announces the gate at once."""
        self.desk, self.loop = desk, loop
        self.announce()
        self.beat()

    def stop(self) -> None:
        """Say the last word and stop."""
        for timer in (self.usage_timer, self.beat_timer):
            if timer is not None:
                timer.cancel()
        self.usage_timer = self.beat_timer = None
        if self.desk is not None:
            self.flush_signals()
            self.flush_usage()
        self.loop = None

    def tell(self, message: object, address: str | None = None) -> None:
        """Send; a core that cannot be reached hears it all in the next ``Announce``."""
        try:
            if address is None:
                self.link.send(message)
            else:
                self.link.send_to(address, message)
        except Exception:
            log.warning("%s: %s was not sent", self.name, type(message).__name__, exc_info=True)

    # ── who waits ───────────────────────────────────────────────────────────────────────────

    def signal(self, ticket: Ticket, waits: bool) -> None:
        """A ticket began or ceased to wait (W9); what cancels out within a tick is never said."""
        if waits:
            if ticket.id in self.removed:
                self.removed.discard(ticket.id)
                return
            self.added[ticket.id] = note(ticket)
        elif self.added.pop(ticket.id, None) is None:
            self.removed.add(ticket.id)
        if not self.signals_due and self.loop is not None:
            self.signals_due = True
            self.loop.call_soon(self.flush_signals)

    def flush_signals(self) -> None:
        self.signals_due = False
        if self.removed and self.usage_timer is not None:
            # Who was granted is said to be in flight before it is said not to wait: between the
            # two its coven would seem to have no work, and lose the hardware (W12).
            self.usage_timer.cancel()
            self.flush_usage()
        if self.added or self.removed:
            added, removed = list(self.added.values()), sorted(self.removed)
            self.added, self.removed = {}, set()
            self.tell(SignalsChanged(gate=self.name, added=added, removed=removed))

    # ── what is in flight ───────────────────────────────────────────────────────────────────

    def changed(self) -> None:
        """What is in flight changed."""
        if self.drains:
            self.drained()
        if self.usage_timer is None and self.loop is not None:
            self.usage_timer = self.loop.call_later(USAGE_SECONDS, self.flush_usage)

    def served(self, stone: str, ticket: Ticket, now: float, ok: bool, tail: bytes) -> None:
        """A request ended with ``tail``; a sample of them is told, for the core to learn (W10)."""
        ended = self.ended.get(stone)
        if ended is None:
            ended = self.ended[stone] = []
        if len(ended) < SERVED_PER_REPORT:
            waited, service = ticket.taken - ticket.arrived, now - ticket.taken
            ended.append(
                Served(
                    stone, ticket.capability, ticket.klass, waited, service, ok, *tokens_in(tail)
                )
            )

    def flush_usage(self) -> None:
        self.usage_timer = None
        ended, self.ended = self.ended, {}
        self.tell(
            UsageChanged(
                gate=self.name,
                in_use=self.in_use(),
                served=[one for many in ended.values() for one in many],
                admission=self.admission,
            )
        )

    def in_use(self) -> dict[str, InUse]:
        assert self.desk is not None
        return {
            name: stone.in_use()
            for name, stone in self.desk.stones.items()
            if stone.used or stone.last_active
        }

    def beat(self) -> None:
        assert self.desk is not None and self.loop is not None
        self.beat_timer = self.loop.call_later(BEAT_SECONDS, self.beat)
        if self.usage_timer is None and any(stone.used for stone in self.desk.stones.values()):
            self.flush_usage()

    # ── the rest ────────────────────────────────────────────────────────────────────────────

    def announce(self) -> None:
        """Full state: the core starts from it, whatever it believed (docs/architecture.md)."""
        assert self.desk is not None
        self.added, self.removed = {}, set()
        self.tell(
            Announce(
                gate=self.name,
                incarnation=self.incarnation,
                signals=[note(ticket) for ticket in self.desk.waiting.values()],
                in_use=self.in_use(),
                admission=self.admission,
            )
        )

    def broke(self, stone: str, reason: str) -> None:
        """A soulstone refused or cut a connection."""
        self.tell(UpstreamBroke(gate=self.name, soulstone=stone, reason=reason))

    def drain(self, order: PauseAdmission) -> None:
        """Confirm ``order`` once nothing is in flight on its soulstones (W20)."""
        self.drains[order.epoch] = order
        self.drained()

    def drained(self) -> None:
        assert self.desk is not None
        for order in list(self.drains.values()):
            if not self.desk.in_flight(order.soulstones):
                del self.drains[order.epoch]
                confirmation = Drained(epoch=order.epoch, node=self.name, active=0, boundaries={})
                self.tell(confirmation, order.reply_to)


def note(ticket: Ticket) -> SignalNote:
    """A waiting ticket as the core sees it."""
    return SignalNote(ticket.id, ticket.capability, ticket.klass, ticket.arrived)
