"""The transitions: one at a time, from the decision's record to what was learned of it (W19–W24).

``Passage`` carries out the table of phases; this object feeds it what happens, sets its timers, and
closes the books when it is over. A part of the arbiter: it runs in its thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from covend.actors.messages import Alert, CovenDrained, DemandNow, SoulstoneReady
from covend.actors.swaps.hands import BoxHands
from covend.actors.swaps.passage import Passage
from covend.actors.swaps.refit import REFIT, Refit
from covend.actors.swaps.residency import Residency
from covend.config import Box
from covend.protocol import IntentRefused
from covend.runtime import Message
from covend.will import transition as table
from covend.will.decision import Swap
from covend.will.transition import Limits, Transition

if TYPE_CHECKING:
    from covend.actors.swaps.arbiter import Arbiter

Setting = tuple[Transition, Limits, int, Residency, BoxHands, frozenset[str], Callable[[], float]]

LOOK_SECONDS = 0.25
"""The world is looked at this often while the host changes, in case a hint got lost."""
HOST_CHANGES = (table.SIGNALLED, table.TRANSMUTING, table.COMPENSATING, table.RESTORING)


class Tick(Message, frozen=True):
    """A timer's message: ``recover``, ``consider``, ``late``, ``look`` or ``settle``."""

    what: str


class Transitions:
    """The transition under way, and how often each target was tried in a row."""

    def __init__(self, arbiter: Arbiter) -> None:
        self.arbiter = arbiter
        self.ctx = arbiter.ctx
        self.hands = arbiter.hands
        self.residency = arbiter.residency
        self.epoch = arbiter.hands.first_epoch()
        self.passage: Passage | None = None
        self.attempt: dict[str, int] = {}
        self.releasing: set[str] = set()

    def begin(
        self,
        decision: Swap,
        forced: bool = False,
        revival: frozenset[str] = frozenset(),
        reset: frozenset[str] = frozenset(),
    ) -> None:
        """Start the transition that a decision asks for; a revival's target is open (W26)."""
        move = self.plan(decision.target, decision.evict, decision.reason)
        self.attempt[move.target] = self.attempt.get(move.target, 0) + 1
        if not self.residency.waits_for(move.target):
            forced = True  # decided though nobody waits (a larger tier, W6): nothing can vanish
        passage = Passage(*self.setting(move), reset=reset, revival=revival, forced=forced)
        self.launch(passage, decision.explain())

    def refit(self, box: Box, outgoing: frozenset[str]) -> None:
        """Drain and stop what a new configuration takes away; it is in force with that (G10)."""
        covens = [c for c in self.residency.open if self.residency.managed(c) & outgoing]
        why = f"a new configuration changes or drops {', '.join(sorted(outgoing))}"
        passage = Refit(
            *self.setting(self.plan(REFIT, tuple(covens), why)),
            forced=True,
            outgoing=outgoing,
            take_up=lambda: self.arbiter.configuring.take_up(box),
        )
        self.launch(passage, {"reason": why})

    def plan(self, target: str, evict: tuple[str, ...], reason: str) -> Transition:
        return Transition(
            id=f"t-{uuid.uuid4().hex[:10]}",
            target=target,
            evict=evict,
            reason=reason,
            planned_at=self.ctx.now(),
        )

    def setting(self, move: Transition) -> Setting:
        """What every passage needs, in the order of its fields; each has an epoch of its own."""
        self.epoch += 1
        arbiter = self.arbiter
        always, now = arbiter.always(), self.ctx.now
        return move, arbiter.limits, self.epoch, self.residency, self.hands, always, now

    def launch(self, passage: Passage, why: dict[str, Any]) -> None:
        """Record the decision with its reasons, then begin (W18, W19)."""
        self.passage, move = passage, passage.move
        self.ctx.cancel("consider")
        body = {"target": move.target, "evict": list(move.evict), "why": why}
        self.arbiter.keep(move.id, "decision", "INTEND", body)
        self.arbiter.keep(
            move.id, "transition", "INTEND", {"target": move.target, "evict": list(move.evict)}
        )
        self.arbiter.event(
            "transition",
            f"{move.id}: {', '.join(move.evict) or 'nothing'} → {move.target}: {move.reason}",
            {"id": move.id, "phase": "planned", "target": move.target, "evict": list(move.evict)},
        )
        self.feed("begin")

    # ── events ──────────────────────────────────────────────────────────────────────────────

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
        self.arbiter.event(
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
        elif move.phase in HOST_CHANGES:
            self.ctx.timer("look", LOOK_SECONDS, Tick("look"))
        elif move.phase == table.AWAKENING:
            self.arbiter.failures.tend_always()
            self.awake_if_ready(passage)

    def drained(self, news: CovenDrained) -> None:
        passage = self.passage
        if passage is not None and passage.drained(news.coven, news.epoch, news.boundaries):
            self.arbiter.event(
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

    def late(self) -> None:
        """The phase's timer: its deadline has passed, unless the phase did (W19)."""
        if self.passage is not None and self.passage.move.expired(self.ctx.now()):
            self.feed("late", f"{self.passage.move.phase} took too long")

    def look(self) -> None:
        """Something may have changed on the host: fold what is there now."""
        passage = self.passage
        world = self.hands.observe()
        self.hands.look_again()
        if passage is None:
            self.arbiter.settle_if_ready()
            return
        phase = passage.move.phase
        passage.look(world, frozenset(self.residency.ready & world.alive.keys()))
        if passage.move.phase != phase:
            self.follow(passage)
        elif phase in HOST_CHANGES:
            self.ctx.timer("look", LOOK_SECONDS, Tick("look"))

    def refused(self, news: IntentRefused) -> None:
        """The reactor did not do it. Where only the world had moved on, nobody is to blame: what is
        still wanted is asked for again at once (W22).
        """
        passage = self.passage
        ours = passage is not None and passage.intent == news.intent
        if passage is not None and ours and news.stale and passage.replan():
            text = f"{passage.move.id}: asked again, since {news.reason}"
            self.arbiter.event("replanned", text, {"id": passage.move.id})
        elif ours:
            self.feed("refused", f"the reactor refused: {news.reason}")
        elif news.stale:
            self.arbiter.failures.mend()

    def ready(self, news: SoulstoneReady) -> None:
        self.residency.ready.add(news.name)
        passage = self.passage
        if passage is None:
            self.arbiter.settle_if_ready()
            self.arbiter.push_admission()
        elif passage.move.phase == table.AWAKENING:
            self.awake_if_ready(passage)
        else:
            self.look()
            self.arbiter.push_admission()

    def awake_if_ready(self, passage: Passage) -> None:
        """Every member answers: confirm memory by a measurement, then open (W23)."""
        if not passage.target_stones <= self.residency.ready:
            return
        problem = self.arbiter.measure()
        if problem:  # it answers, so it serves; what it takes is confirmed at the next reading
            self.ctx.tell("console", Alert("memory is not confirmed", {"error": problem}))
        self.feed("awake")

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def finish(self, passage: Passage) -> None:
        """The transition is over: learn from it, hold failures against the target, go on."""
        move, now = passage.move, self.ctx.now()
        self.passage = None
        self.ctx.cancel("late")
        self.ctx.cancel("look")
        if isinstance(passage, Refit):
            self.arbiter.configuring.ended(done=move.phase == table.OPEN)
        else:
            self.learn(passage, now)
        self.residency.quarantined = self.arbiter.failures.quarantined()
        self.release(passage)
        self.arbiter.keep(move.id, "transition", "KNOW", self.story(passage))
        self.arbiter.answer_all(move)
        self.arbiter.push_admission()
        self.arbiter.failures.mend()
        self.arbiter.consider()

    def learn(self, passage: Passage, now: float) -> None:
        """What the swap cost and took, and what is held against its target (W10, W12, W24)."""
        move, failures = passage.move, self.arbiter.failures
        times = {entry.phase: entry.at for entry in move.history}
        target = move.target
        if table.SIGNALLED in times:
            devices = self.arbiter.model.covens[target].devices
            # The drain is service: only from the intent on nobody is served (W12).
            self.residency.swaps.swapped(devices, times[table.SIGNALLED], now)
        if move.phase == table.OPEN:
            self.residency.learner.loaded(target, now - times[table.SIGNALLED])
            failures.opened(target)
            self.attempt.pop(target, None)
            self.arbiter.keep("learned", "learned", "LEARN", self.residency.learner.samples())
        elif passage.outcome == "failed":
            failures.failed(target)
        elif passage.outcome == "late drain":
            failures.drained_late(target)

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
            if name in self.arbiter.model.soulstones
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
