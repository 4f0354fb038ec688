"""The GPU arbiter: owns residency and serialises every hardware transition.

It folds demand, readiness, deaths and measurements into ``Residency``, asks the strategy what the
hardware should be next, and walks one ``Passage`` at a time through its phases. Every decision to
swap and every transition is a record; the last decision's reasons are kept for ``covend why``.

A new arbiter looks first (W25): it adopts what is alive, and says what is open only when it knows,
so that the gates go on with what the one before it allowed.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from covend.actors.adopt import adopt
from covend.actors.catalog import Catalog
from covend.actors.hands import BoxHands
from covend.actors.messages import (
    Alert,
    CovenDrained,
    DemandChanged,
    DemandNow,
    Event,
    GiveUpOn,
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
from covend.actors.modelling import model_of
from covend.actors.passage import Passage
from covend.actors.residency import Residency
from covend.actors.snapshot import arbiter_snapshot
from covend.config import Box
from covend.host.folders import Folders
from covend.phylactery.actor import Append, Query
from covend.phylactery.records import Act, record
from covend.protocol import IntentRefused, SwapRequest, WorldChanged
from covend.runtime import Actor, ActorError, Down, MailboxSpec, Promise, ReplyError
from covend.will import quarantine
from covend.will import transition as table
from covend.will.decision import Decision, Stay, Swap
from covend.will.residency import Reading
from covend.will.strategies import Guarded, ordered
from covend.will.transition import Limits, Transition

SETTLE_SECONDS = 3.0
"""How long a new arbiter waits for what it adopted to answer, before it says what is open."""
LOOK_SECONDS = 0.25
"""The world is looked at this often while the host changes, in case a hint got lost."""


TRUSTED = ("covens", "dispatcher", "console")
"""Started after the arbiter; all it is told comes through them, so it ends when one of them does."""


class TrustLost(Exception):
    """An actor died whose state this arbiter's judgement rests on: begin again from the world."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer's message: ``consider``, ``late``, ``look`` or ``settle``."""

    what: str


class Arbiter(Actor):
    """Owns residency; address ``arbiter@core`` for the reactor (DESIGN §4)."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=10_000, policy="drop_oldest")

    def __init__(self, box: Box, folders: Folders, strategy: type[Any]) -> None:
        self.box = box
        self.folders = folders
        self.strategy = strategy
        self.passage: Passage | None = None
        self.settled = False
        self.waiters: list[tuple[str, Promise]] = []
        self.wanted: str | None = None
        self.decision: Decision | None = None
        self.held: dict[str, quarantine.Record] = {}
        self.reading: MemoryReading | None = None
        self.attempt: dict[str, int] = {}
        self.releasing: set[str] = set()

    def on_start(self) -> None:
        self.catalog = Catalog(self.box)
        self.model = model_of(self.box)
        self.residency = Residency(self.model)
        self.judge = Guarded(self.model, self.strategy(self.model))
        self.hands = BoxHands(self.ctx, self.box, self.folders, self)
        self.epoch = self.hands.first_epoch()
        limits = self.box.transition
        self.limits = Limits(limits.drain, limits.host_action, limits.awaken, limits.attempts)
        self.ctx.tell(self.ctx.me, Tick("recover"))

    def on_receive(self, message: object) -> object:
        match message:
            case DemandChanged():
                self.residency.fold(message)
                self.consider()
            case ServiceLearned():
                if message.soulstone in self.model.soulstones:
                    self.residency.learner.served(message.soulstone, message.service)
            case CovenDrained():
                self.drained(message)
            case SoulstoneReady():
                self.ready(message)
            case SoulstoneDown():
                self.down(message)
            case SoulstoneHealth():
                self.health(message)
            case HardReset():
                self.hard_reset(message)
            case WorldChanged():
                self.look()
            case IntentRefused():
                self.refused(message)
            case MemoryReading():
                self.measured(message)
            case SwapRequest():
                return self.swap_requested(message)
            case NewConfig():
                self.reconfigure(message.box)
            case Snapshot():
                return arbiter_snapshot(self)
            case Down():
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
            case "late" if self.passage and self.passage.move.expired(self.ctx.now()):
                self.feed("late", f"{self.passage.move.phase} took too long")
            case "look":
                self.look()
            case "settle":
                self.settle()
            case _:
                pass

    # ── starting: observe, adopt, go on (W25) ───────────────────────────────────────────────

    def recover(self) -> None:
        """Look at the world before anything else, and take over what lives."""
        if any(self.ctx.system.find(name) is None for name in TRUSTED):
            self.ctx.timer("recover", 0.01, Tick("recover"))
            return
        for name in TRUSTED:
            self.ctx.monitor(name)
        stored = self.ctx.ask("phylactery", Query(kind="learned", limit=1), timeout=10.0)
        if stored:
            self.residency.learner.restore(stored[0]["body"])
        under_way = self.open_transition()
        alive = self.hands.observe().alive
        adoption = adopt(self.model, alive, under_way)
        now = self.ctx.now()
        for coven in adoption.covens:
            self.residency.open[coven] = now
            self.residency.ledger.hold(self.residency.managed(coven))
            self.hands.start_tree(coven)
        self.residency.closed = set()
        self.hands.start_always()
        members = frozenset[str]().union(
            *(self.residency.managed(coven) for coven in adoption.covens)
        )
        wanted = members | self.always()
        if adoption.reap or wanted - alive.keys():
            self.hands.write_intent(wanted, adoption.reap)
        names = ", ".join(adoption.covens) or "nothing"
        self.event("adopted", f"the core starts: {names} resident", {"alive": dict(alive)})
        self.ctx.timer("settle", SETTLE_SECONDS, Tick("settle"))
        self.settle_if_ready()

    def open_transition(self) -> str | None:
        """The target of a transition that was under way when the last core died."""
        found = self.ctx.ask("phylactery", Query(kind="transition", limit=1), timeout=10.0)
        if not found or found[0]["act"] == "KNOW":
            return None
        target = str(found[0]["body"]["target"])
        entry = record(
            found[0]["thread"],
            "transition",
            {**found[0]["body"], "phase": "left by a dead core"},
            actor="arbiter",
        )
        self.ctx.tell("phylactery", Append([entry]))
        return target

    def always(self) -> frozenset[str]:
        return frozenset(self.catalog.lexicons())

    def settle_if_ready(self) -> None:
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
            self.consider()

    # ── deciding ────────────────────────────────────────────────────────────────────────────

    def consider(self) -> None:
        """Ask the strategy what the hardware should be next, and begin it."""
        if self.passage is not None or not self.settled:
            return
        now = self.ctx.now()
        if self.wanted is not None:
            self.begin_wanted(now)
            return
        state = self.residency.state(now)
        decision = self.judge.decide(state, now)
        changed = self.decision is None or decision.reason != self.decision.reason
        self.decision = decision
        match decision:
            case Swap():
                self.begin(decision)
            case Stay(until=until):
                if until is not None:
                    self.ctx.timer("consider", max(0.0, until - now), Tick("consider"))
                if changed:
                    self.push_admission()
            case _:
                pass

    def begin_wanted(self, now: float) -> None:
        """An operator's swap by name: checked like any other, then carried out."""
        target, self.wanted = self.wanted or "", None
        decision = ordered(
            self.model, target, self.residency.state(now), "asked for by an operator", now
        )
        if isinstance(decision, str):
            self.answer(target, ReplyError(decision))
            return
        self.decision = decision
        self.begin(decision, forced=True)

    def begin(
        self,
        decision: Swap,
        forced: bool = False,
        revival: frozenset[str] = frozenset(),
        reset: frozenset[str] = frozenset(),
    ) -> None:
        """Record the decision with its reasons, then start the transition (W18, W19)."""
        now = self.ctx.now()
        move = Transition(
            id=f"t-{uuid.uuid4().hex[:10]}",
            target=decision.target,
            evict=decision.evict,
            reason=decision.reason,
            planned_at=now,
        )
        self.epoch += 1
        self.passage = Passage(
            move,
            self.limits,
            self.epoch,
            self.residency,
            self.hands,
            self.always(),
            self.ctx.now,
            reset=reset,
            revival=revival,
            forced=forced,
        )
        self.ctx.cancel("consider")
        self.attempt[move.target] = self.attempt.get(move.target, 0) + 1
        body = {"target": move.target, "evict": list(move.evict), "why": decision.explain()}
        self.keep(move.id, "decision", "INTEND", body)
        self.keep(
            move.id, "transition", "INTEND", {"target": move.target, "evict": list(move.evict)}
        )
        self.event(
            "transition",
            f"{move.id}: {', '.join(move.evict) or 'nothing'} → {move.target}: {move.reason}",
            {"id": move.id, "phase": "planned", "target": move.target, "evict": list(move.evict)},
        )
        self.feed("begin")

    # ── the transition under way ────────────────────────────────────────────────────────────

    def feed(self, event: str, why: str = "") -> None:
        """Give the passage an event; then follow where it stands now."""
        passage = self.passage
        if passage is None:
            return
        if passage.feed(event, why):
            self.follow(passage)

    def follow(self, passage: Passage) -> None:
        """After a move: note the phase, set its deadline, recheck, or finish."""
        move = passage.move
        self.event(
            "phase",
            f"{move.id}: {move.phase}" + (f" ({passage.failure})" if passage.failure else ""),
            {"id": move.id, "phase": move.phase, "target": move.target},
        )
        if move.over:
            self.finish(passage)
            return
        if move.deadline is not None:
            self.ctx.timer("late", max(0.0, move.deadline - self.ctx.now()), Tick("late"))
        if move.phase == table.DRAINING and not passage.draining:
            self.recheck(passage)
        elif move.phase in (table.SIGNALLED, table.TRANSMUTING, table.RESTORING):
            self.ctx.timer("look", LOOK_SECONDS, Tick("look"))
        elif move.phase == table.AWAKENING:
            self.awake_if_ready(passage)

    def drained(self, news: CovenDrained) -> None:
        passage = self.passage
        if passage is not None and passage.drained(news.coven, news.epoch, news.boundaries):
            self.event(
                "drained",
                f"{passage.move.id}: DrainConfirm from {news.coven}",
                {"id": passage.move.id, "epoch": news.epoch, "boundaries": passage.boundaries},
            )
            self.recheck(passage)

    def recheck(self, passage: Passage) -> None:
        """Inside the critical section: is the target still wanted (W21)?"""
        news = self.ctx.ask("dispatcher", DemandNow(), timeout=5.0)
        self.residency.fold(news)
        wanted = passage.forced or passage.revival or self.residency.waits_for(passage.move.target)
        self.feed("confirmed" if wanted else "vanished")

    def look(self) -> None:
        """Something may have changed on the host: fold what is there now."""
        passage = self.passage
        world = self.hands.observe()
        self.hands.look_again()
        if passage is None:
            return
        phase = passage.move.phase
        passage.look(world, frozenset(self.residency.ready & world.alive.keys()))
        if passage.move.phase != phase:
            self.follow(passage)
        elif phase in (table.SIGNALLED, table.TRANSMUTING, table.RESTORING):
            self.ctx.timer("look", LOOK_SECONDS, Tick("look"))

    def refused(self, news: IntentRefused) -> None:
        passage = self.passage
        if passage is not None and passage.intent == news.intent:
            self.feed("refused", f"the reactor refused: {news.reason}")

    def ready(self, news: SoulstoneReady) -> None:
        self.residency.ready.add(news.name)
        passage = self.passage
        if passage is None:
            self.settle_if_ready()
            self.push_admission()
        elif passage.move.phase == table.AWAKENING:
            self.awake_if_ready(passage)
        else:
            self.look()
            self.push_admission()

    def awake_if_ready(self, passage: Passage) -> None:
        """Every member answers: confirm memory by a measurement, then open (W23)."""
        if not passage.target_stones <= self.residency.ready:
            return
        self.measured(self.ctx.ask("oculus", ReadNow(), timeout=10.0))
        self.feed("awake")

    def finish(self, passage: Passage) -> None:
        """The transition is over: learn from it, hold failures against the target, go on."""
        move, now = passage.move, self.ctx.now()
        self.passage = None
        self.ctx.cancel("late")
        self.ctx.cancel("look")
        times = {entry.phase: entry.at for entry in move.history}
        target = move.target
        if table.SIGNALLED in times:
            devices = self.model.covens[target].devices
            self.residency.swaps.swapped(devices, move.planned_at, now)
        if move.phase == table.OPEN:
            self.residency.learner.loaded(target, now - times[table.SIGNALLED])
            self.held[target] = quarantine.succeeded()
            self.attempt.pop(target, None)
            self.keep("learned", "learned", "LEARN", self.residency.learner.samples())
        elif passage.outcome == "failed":
            self.count_failure(target, now)
        elif passage.outcome == "late drain":
            self.held[target] = quarantine.drained_late(self.record_of(target), now)
        self.residency.quarantined = {
            name: entry.until for name, entry in self.held.items() if entry.until > now
        }
        self.release(passage)
        self.keep(move.id, "transition", "KNOW", self.story(passage))
        self.answer_all(move)
        self.push_admission()
        self.consider()

    def release(self, passage: Passage) -> None:
        """What left gives its memory back, once the oculus shows it free (W2)."""
        alive = self.hands.observe().alive
        self.releasing |= (passage.left | passage.target_stones) - alive.keys()
        self.release_measured()

    def release_measured(self) -> None:
        alive = self.hands.pids
        self.releasing = {
            name
            for name in self.releasing
            if name in self.model.soulstones
            and name not in alive
            and not self.residency.ledger.release(name)
        }

    def story(self, passage: Passage) -> dict[str, Any]:
        move = passage.move
        return {
            "target": move.target,
            "evict": list(move.evict),
            "phase": move.phase,
            "failure": passage.failure,
            "boundaries": passage.boundaries,
            "seconds": self.ctx.now() - move.planned_at,
            "phases": {m.phase: m.at - move.planned_at for m in move.history},
        }

    # ── failures ────────────────────────────────────────────────────────────────────────────

    def record_of(self, coven: str) -> quarantine.Record:
        return self.held.get(coven, quarantine.Record())

    def count_failure(self, coven: str, now: float) -> None:
        """The third failure in a row quarantines the coven and refuses what waits for it (W24)."""
        verdict = quarantine.failed(self.record_of(coven), now, self.limits.attempts)
        self.held[coven] = verdict.record
        if not verdict.hard_reset:
            return
        self.attempt.pop(coven, None)
        seconds = verdict.record.until - now
        only_here = tuple(
            capability
            for capability in self.model.covens[coven].server
            if all(
                self.held.get(other, quarantine.Record()).until > now
                for other in self.model.serving[capability]
            )
        )
        reason = (
            f"coven {coven} failed to start {self.limits.attempts} times and is quarantined "
            f"for {seconds:.0f} s; see `covend status` for the last error"
        )
        self.ctx.tell("dispatcher", GiveUpOn(only_here, reason, seconds))
        self.ctx.tell("console", Alert(reason, {"coven": coven, "capabilities": only_here}))

    def down(self, news: SoulstoneDown) -> None:
        """A process ended, or is missing where its actor looked (W26)."""
        name = news.name
        self.residency.ready.discard(name)
        passage = self.passage
        if passage is not None and name in passage.target_stones | passage.leaving:
            self.look()
            return
        if name in self.catalog.lexicons():
            self.event("death", f"{name} ended; it is started again", news.evidence)
            self.hands.write_intent(self.present_world(), frozenset())
            return
        self.push_admission()
        if news.pid is not None:
            self.ctx.tell("console", Alert(f"soulstone {name} ended unasked", dict(news.evidence)))
        self.revive(name, f"soulstone {name} is gone", frozenset())

    def hard_reset(self, verdict: HardReset) -> None:
        """The watchdog's sentence: kill, wait until the memory is free, start again (W26)."""
        self.ctx.tell(
            "console", Alert(f"{verdict.name}: {verdict.cause}: hard reset", verdict.evidence)
        )
        self.revive(verdict.name, f"watchdog: {verdict.cause}", frozenset({verdict.name}))

    def revive(self, name: str, reason: str, reset: frozenset[str]) -> None:
        """Start a dead member of an open coven again, as a transition of its own."""
        coven = next((c for c in self.residency.open if name in self.residency.managed(c)), None)
        if coven is None or self.passage is not None or not self.settled:
            if coven is not None:
                self.ctx.timer(f"revive {name}", LOOK_SECONDS, SoulstoneDown(name, None, {}))
            return
        self.residency.closed.add(name)
        swap = Swap(reason, "watchdog", self.ctx.now(), target=coven)
        self.begin(swap, revival=frozenset({name}), reset=reset)

    def present_world(self) -> frozenset[str]:
        """The world as it should be now, with no transition under way."""
        members = (self.residency.managed(coven) for coven in self.residency.open)
        return frozenset[str]().union(*members) | self.always()

    def health(self, news: SoulstoneHealth) -> None:
        """A probe of a shared soulstone opens or closes it; others have a watchdog (W4)."""
        spec = self.catalog.soulstones.get(news.name)
        if spec is None or spec.authority != "shared":
            return
        was = news.name in self.residency.ready
        if news.ok != was:
            (self.residency.ready.add if news.ok else self.residency.ready.discard)(news.name)
            self.event(
                "shared", f"{news.name} {'answers' if news.ok else 'is gone'}: {news.detail}"
            )
            self.push_admission()

    # ── others ──────────────────────────────────────────────────────────────────────────────

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
        self.release_measured()

    def push_admission(self) -> None:
        """Tell the dispatcher what is open, once this arbiter knows what is (W8)."""
        if not self.settled:
            return
        now = self.ctx.now()
        left = {v.coven: v.left for v in (self.decision.verdicts if self.decision else ())}
        busy = 0.0
        if self.passage is not None:
            estimates = self.residency.learner.estimates()
            busy = estimates.load.get(self.passage.move.target, 0.0)
        self.residency.quarantined = {
            name: until for name, until in self.residency.quarantined.items() if until > now
        }
        self.ctx.tell(
            "dispatcher", SetOpen(self.residency.routable(), self.residency.eta(left, busy))
        )

    def swap_requested(self, order: SwapRequest) -> Promise | dict[str, Any]:
        """``covend swap``: answered when the coven is open, or with why it cannot be."""
        if order.coven in self.residency.open:
            return {"coven": order.coven, "phase": "open", "seconds": 0.0}
        if order.coven not in self.model.covens:
            known = ", ".join(sorted(self.model.covens))
            raise ReplyError(f"there is no coven {order.coven!r}: there are {known}")
        promise = self.ctx.later()
        self.waiters.append((order.coven, promise))
        self.wanted = order.coven
        self.consider()
        return promise

    def answer(self, coven: str, answer: dict[str, Any] | Exception) -> None:
        for name, promise in [w for w in self.waiters if w[0] == coven]:
            self.waiters.remove((name, promise))
            if isinstance(answer, Exception):
                promise.fail(answer)
            else:
                promise.reply(answer)

    def answer_all(self, move: Transition) -> None:
        seconds = self.ctx.now() - move.planned_at
        if move.phase == table.OPEN:
            answer = {"id": move.id, "coven": move.target, "phase": "open", "seconds": seconds}
            self.answer(move.target, answer)
        else:
            self.answer(move.target, ReplyError(f"{move.id} ended {move.phase}: see covend why"))

    def reconfigure(self, box: Box) -> None:
        """Take up a new configuration; what runs and is unchanged is not touched (G10)."""
        self.box, self.catalog, self.model = box, Catalog(box), model_of(box)
        self.residency.configure(self.model)
        self.judge = Guarded(self.model, self.strategy(self.model))
        self.hands.configure(box)
        for coven in [c for c in self.residency.open if c not in self.model.covens]:
            del self.residency.open[coven]
            self.hands.stop_tree(coven)
        if self.passage is None:
            self.hands.write_intent(self.present_world(), frozenset())
        self.push_admission()
        self.consider()

    def keep(self, thread: str, kind: str, act: Act, body: dict[str, Any]) -> None:
        """Make a record durable; a store that fails is an alert, not the end of service."""
        entry = record(thread, kind, body, actor="arbiter", act=act)
        try:
            self.ctx.ask("phylactery", Append([entry]), timeout=10.0)
        except ActorError as error:
            self.ctx.tell("console", Alert("a record could not be stored", {"error": str(error)}))

    def event(self, kind: str, text: str, data: dict[str, Any] | None = None) -> None:
        self.ctx.tell("console", Event(kind, self.ctx.now(), text, data or {}))
