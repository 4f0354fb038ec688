"""The GPU arbiter: owns residency and serialises every hardware transition.

It folds demand, readiness, deaths and measurements into ``Residency``, asks the strategy what the
hardware should be next, and walks one ``Passage`` at a time through its phases. Every decision to
swap and every transition is a record; the last decision's reasons are kept for ``covend why``.

A new arbiter looks first (W25): it adopts what is alive, and says what is open only when it knows,
so that the gates go on with what the one before it allowed.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from covend.actors.admission.catalog import Catalog
from covend.actors.asking_store import SERVING_SECONDS, ask_store
from covend.actors.messages import (
    Alert,
    CovenDrained,
    DemandChanged,
    Event,
    HardReset,
    MemoryReading,
    NewConfig,
    ReadNow,
    ServiceLearned,
    SetOpen,
    Snapshot,
    SoulstoneDown,
    SoulstoneHealth,
    SoulstoneReady,
)
from covend.actors.snapshot import arbiter_snapshot
from covend.actors.swaps.configuring import Configuring, limits_of
from covend.actors.swaps.failures import Failures, Revive
from covend.actors.swaps.hands import BoxHands
from covend.actors.swaps.modelling import model_of
from covend.actors.swaps.orders import SwapOrders
from covend.actors.swaps.passage import Passage
from covend.actors.swaps.recovery import recover
from covend.actors.swaps.residency import Residency
from covend.actors.swaps.transitions import Tick, Transitions
from covend.config import Box
from covend.host.folders import Folders
from covend.phylactery.actor import Append
from covend.phylactery.records import Act, record
from covend.protocol import IntentRefused, SwapRequest, WorldChanged
from covend.runtime import Actor, ActorError, Down, MailboxSpec, Promise, ReplyError
from covend.will import transition as table
from covend.will.decision import Decision, Stay, Swap
from covend.will.ingestion import Window, window_open
from covend.will.residency import Reading
from covend.will.strategies import Guarded, ordered
from covend.will.transition import Transition

SETTLE_SECONDS = 3.0
"""How long a new arbiter waits for what it adopted to answer, before it says what is open."""
TRUSTED = ("covens", "dispatcher", "console")
"""Started after the arbiter; all it hears comes through them, so it ends when one of them does."""


class TrustLost(Exception):
    """An actor died whose state this arbiter's judgement rests on: begin again from the world."""


class Arbiter(Actor):
    """Owns residency; address ``arbiter@core`` for the reactor (docs/architecture.md)."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=10_000, policy="drop_oldest")

    def __init__(self, box: Box, folders: Folders, strategy: type[Any]) -> None:
        self.box = box
        self.folders = folders
        self.strategy = strategy
        self.recovered = False
        self.settled = False
        self.orders = SwapOrders()
        self.failures = Failures(self)
        self.decision: Decision | None = None
        self.reading: MemoryReading | None = None

    def on_start(self) -> None:
        self.catalog = Catalog(self.box)
        self.model = model_of(self.box)
        self.residency = Residency(self.model)
        self.judge = Guarded(self.model, self.strategy(self.model))
        self.hands = BoxHands(self.ctx, self.box, self.folders, self)
        self.limits = limits_of(self.box)
        self.transitions = Transitions(self)
        self.configuring = Configuring(self)
        self.ctx.tell(self.ctx.me, Tick("recover"))

    @property
    def passage(self) -> Passage | None:
        """The transition under way."""
        return self.transitions.passage

    def on_receive(self, message: object) -> object:
        match message:
            case DemandChanged():
                self.residency.fold(message)
                self.consider()
            case ServiceLearned():
                self.served(message)
            case CovenDrained():
                self.transitions.drained(message)
            case SoulstoneReady():
                self.transitions.ready(message)
            case SoulstoneDown():
                self.failures.down(message)
            case SoulstoneHealth():
                self.failures.health(message)
            case HardReset():
                self.failures.hard_reset(message)
            case Revive():
                self.failures.revive(message)
            case WorldChanged():
                self.transitions.look()
            case IntentRefused():
                self.transitions.refused(message)
            case MemoryReading():
                self.measured(message)
            case SwapRequest():
                return self.swap_requested(message)
            case NewConfig():
                self.configuring.want(message.box)
                self.consider()
            case Snapshot():
                return arbiter_snapshot(self)
            case Down(reason=reason) if reason.abnormal:
                raise TrustLost(f"{message.name} is gone: {message.reason}")
            case Tick():
                self.tick(message.what)
            case _:
                pass
        return None

    def tick(self, what: str) -> None:
        match what:
            case "recover":
                self.recover()
            case "consider":
                self.consider()
            case "late":
                self.transitions.late()
            case "look":
                self.transitions.look()
            case "settle":
                self.settle()
            case _:
                pass

    # ── starting: observe, adopt, go on (W25) ───────────────────────────────────────────────

    def recover(self) -> None:
        """Once those it trusts are there: look at the world, then say what is open (W25)."""
        if any(self.ctx.system.find(name) is None for name in TRUSTED):
            self.ctx.timer("recover", 0.01, Tick("recover"))
            return
        if not self.hands.withdraw():
            # A dead core's intent is being carried out, within the reactor's own deadline: what is
            # alive now may be stopped yet.
            self.ctx.timer("recover", 0.05, Tick("recover"))
            return
        for name in TRUSTED:
            self.ctx.monitor(name)
        recover(self)
        self.recovered = True
        self.ctx.timer("settle", SETTLE_SECONDS, Tick("settle"))
        self.settle_if_ready()

    def always(self) -> frozenset[str]:
        """Covend's own soulstones that are in every world (W5)."""
        return frozenset(self.catalog.lexicons())

    def present_world(self) -> frozenset[str]:
        """The world as it should be now: what was asked for last, or the open covens."""
        if self.passage is not None and self.passage.goal:
            return self.passage.goal
        members = (self.residency.managed(coven) for coven in self.residency.open)
        return frozenset[str]().union(*members) | self.always()

    def settle_if_ready(self) -> None:
        """Begin to decide once what was adopted answers and the reactor has nothing in hand.

        An intent written before would find another world than it expects, and be refused.
        """
        if self.settled or not self.recovered:
            return
        if self.hands.observe().alive.keys() != self.present_world():
            return
        needed = frozenset[str]().union(
            *(self.residency.managed(coven) for coven in self.residency.open)
        )
        if needed <= self.residency.ready:
            self.settle()

    def settle(self) -> None:
        if not self.settled:
            self.settled = True
            self.ctx.cancel("settle")
            self.push_admission()
            self.configuring.look_back()
            self.consider()

    # ── learning ────────────────────────────────────────────────────────────────────────────

    def served(self, news: ServiceLearned) -> None:
        """A request ended: its service is learned, its capability's streak goes on (W10, W6)."""
        if news.soulstone in self.model.soulstones:
            self.residency.learner.served(news.soulstone, news.service)
            self.residency.book.used(news.capability, self.ctx.now())

    def ingesting(self) -> bool:
        """Whether an ingestion window is open, by the wall's clock or by backlog (W16)."""
        if not self.box.whim.ingest_windows:
            return False
        windows = [
            Window(window.start, window.end, window.days, window.backlog)
            for window in self.box.whim.ingest_windows
        ]
        wall = time.localtime()
        minute = wall.tm_hour * 60 + wall.tm_min
        backlog = sum(klass == "ingest" for _, _, klass, _ in self.residency.signals.values())
        return window_open(windows, wall.tm_wday, minute, backlog)

    # ── deciding ────────────────────────────────────────────────────────────────────────────

    def consider(self) -> None:
        """Ask the strategy what the hardware should be next, and begin it."""
        if self.passage is not None or not self.settled:
            return
        if self.configuring.begin() or self.begin_ordered():
            return
        now = self.ctx.now()
        state = self.residency.state(now, window=self.ingesting())
        decision = self.judge.decide(state, now)
        changed = self.decision is None or decision.reason != self.decision.reason
        self.decision = decision
        match decision:
            case Swap():
                self.transitions.begin(decision)
            case Stay(until=until):
                if until is not None:
                    self.ctx.timer("consider", max(0.0, until - now), Tick("consider"))
                if changed:
                    self.push_admission()
            case _:
                pass

    def begin_ordered(self) -> bool:
        """Begin an operator's swap by name: checked like any other, then carried out."""
        while (target := self.orders.next()) is not None:
            now = self.ctx.now()
            decision = ordered(
                self.model, target, self.residency.state(now), "asked for by an operator", now
            )
            if isinstance(decision, Swap):
                self.decision = decision
                self.transitions.begin(decision, forced=True)
                return True
            if target in self.residency.open:
                self.orders.answer(target, is_open(target))
            else:
                self.orders.answer(target, ReplyError(decision))
        return False

    # ── others ──────────────────────────────────────────────────────────────────────────────

    def measure(self) -> str | None:
        """Take a reading now; why there is none, where a device cannot be read (W1)."""
        try:
            self.measured(self.ctx.ask("oculus", ReadNow(), timeout=10.0))
        except (ActorError, ReplyError) as error:
            return str(error)
        return None

    def measured(self, reading: MemoryReading) -> None:
        self.reading = reading
        for device in self.model.devices:
            used = {name: sizes.get(device, 0) for name, sizes in reading.soulstones.items()}
            self.residency.ledger.observe(
                Reading(
                    device,
                    reading.capacity.get(device, 0),
                    {name: size for name, size in used.items() if size},
                    reading.foreign.get(device, 0),
                )
            )
        self.transitions.release_measured()

    def push_admission(self) -> None:
        """Tell the dispatcher what is open, once this arbiter knows what is (W8)."""
        if not self.settled:
            return
        now = self.ctx.now()
        left = {v.coven: v.left(now) for v in (self.decision.verdicts if self.decision else ())}
        busy = 0.0
        if self.passage is not None:
            estimates = self.residency.learner.estimates()
            busy = estimates.load.get(self.passage.move.target, 0.0)
        self.residency.quarantined = self.failures.quarantined()
        self.ctx.tell(
            "dispatcher", SetOpen(self.residency.routable(), self.residency.eta(left, busy))
        )

    def swap_requested(self, order: SwapRequest) -> Promise | dict[str, Any]:
        """``covend swap``: answered when the coven is open, or with why it cannot be."""
        coven, passage = order.coven, self.passage
        if coven not in self.model.covens:
            known = ", ".join(sorted(self.model.covens))
            raise ReplyError(f"there is no coven {coven!r}: there are {known}")
        begun = passage is not None and coven == passage.move.target
        leaves = passage is not None and coven in passage.move.evict
        if coven in self.residency.open and not begun and not leaves:
            return is_open(coven)
        promise = self.ctx.later()
        self.orders.wait(coven, promise, begun)
        if begun and passage is not None:
            passage.forced = True
        self.consider()
        return promise

    def answer_all(self, move: Transition) -> None:
        """Tell the operators who wait for this target how it went."""
        if move.phase == table.OPEN:
            seconds = self.ctx.now() - move.planned_at
            self.orders.answer(move.target, is_open(move.target, move.id, seconds))
        else:
            ended = ReplyError(f"{move.id} ended {move.phase}: see `covend why {move.id}`")
            self.orders.answer(move.target, ended)

    # ── others' parts ───────────────────────────────────────────────────────────────────────

    def keep(self, thread: str, kind: str, act: Act, body: dict[str, Any]) -> None:
        """Make a record durable; a store that fails is an alert, not the end of service."""
        entry = record(thread, kind, body, actor="arbiter", act=act)
        try:
            ask_store(self.ctx, Append([entry]), SERVING_SECONDS)
        except (ActorError, ReplyError) as error:
            self.ctx.tell("console", Alert("a record could not be stored", {"error": str(error)}))

    def event(self, kind: str, text: str, data: dict[str, Any] | None = None) -> None:
        self.ctx.tell("console", Event(kind, self.ctx.now(), text, data or {}))


def is_open(coven: str, id: str | None = None, seconds: float = 0.0) -> dict[str, Any]:
    """How ``covend swap`` is answered when the coven is open."""
    answer: dict[str, Any] = {"coven": coven, "phase": "open", "seconds": seconds}
    return answer if id is None else {"id": id, **answer}
