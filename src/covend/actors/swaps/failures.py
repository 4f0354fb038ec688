"""What the arbiter does about failures: deaths, hard resets, and targets that will not start.

A dead member of an open coven is started again by a transition of its own, a *revival* (W26). A
coven that fails to start three times in a row is quarantined, and what only it could serve is
refused with the reason (W24).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from covend.actors.messages import Alert, GiveUpOn, HardReset, SoulstoneDown, SoulstoneHealth
from covend.runtime import CONTROL, Lane, Message
from covend.will import quarantine
from covend.will import transition as table
from covend.will.decision import Swap

if TYPE_CHECKING:
    from covend.actors.swaps.arbiter import Arbiter

RETRY_SECONDS = 0.25
ACTING = frozenset({table.SIGNALLED, table.TRANSMUTING, table.COMPENSATING, table.RESTORING})
"""The reactor has an intent in hand: a second one would find another world than it expects."""


class Revive(Message, frozen=True):
    """A timer's message: see again whether ``name`` needs a revival (W26).

    ``condemned`` is the process that is to be killed for it, if one is.
    """

    name: str
    reason: str
    condemned: int | None = None
    lane: ClassVar[Lane] = CONTROL


class Failures:
    """What is held against each coven, and who is to be started again. The arbiter's thread."""

    def __init__(self, arbiter: Arbiter) -> None:
        self.arbiter = arbiter
        self.held: dict[str, quarantine.Record] = {}

    # ── attempts (W24) ──────────────────────────────────────────────────────────────────────

    def record_of(self, coven: str) -> quarantine.Record:
        """What is held against a coven."""
        return self.held.get(coven, quarantine.Record())

    def quarantined(self) -> dict[str, float]:
        """The covens that may not be tried now, and until when (monotonic seconds)."""
        now = self.arbiter.ctx.now()
        return {name: entry.until for name, entry in self.held.items() if entry.until > now}

    def opened(self, coven: str) -> None:
        """It opened: nothing is held against it any more."""
        self.held[coven] = quarantine.succeeded()

    def drained_late(self, coven: str) -> None:
        """Its turn is put off, it is not blamed (W24)."""
        record = self.record_of(coven)
        self.held[coven] = quarantine.drained_late(record, self.arbiter.ctx.now())

    def failed(self, coven: str) -> None:
        """The third failure in a row quarantines the coven and refuses what waits for it (W24)."""
        arbiter, now = self.arbiter, self.arbiter.ctx.now()
        verdict = quarantine.failed(self.record_of(coven), now, arbiter.limits.attempts)
        self.held[coven] = verdict.record
        if not verdict.hard_reset:
            return
        arbiter.transitions.attempt.pop(coven, None)
        seconds = verdict.record.until - now
        only_here = tuple(
            capability
            for capability in arbiter.model.covens[coven].server
            if all(self.record_of(other).until > now for other in arbiter.model.serving[capability])
        )
        reason = (
            f"coven {coven} failed to start {arbiter.limits.attempts} times and is quarantined "
            f"for {seconds:.0f} s; see `covend status` for the last error"
        )
        arbiter.ctx.tell("dispatcher", GiveUpOn(only_here, reason, seconds))
        arbiter.ctx.tell("console", Alert(reason, {"coven": coven, "capabilities": only_here}))

    # ── deaths (W26) ────────────────────────────────────────────────────────────────────────

    def down(self, news: SoulstoneDown) -> None:
        """A process ended, or is missing where its actor looked (W26)."""
        arbiter, name = self.arbiter, news.name
        arbiter.residency.ready.discard(name)
        passage = arbiter.passage
        if passage is not None and name in passage.target_stones | passage.leaving:
            arbiter.transitions.look()
            return
        if name in arbiter.always():
            arbiter.event("death", f"{name} ended; it is started again", news.evidence)
            self.tend_always()
            return
        arbiter.push_admission()
        if news.pid is not None:
            text = f"soulstone {name} ended unasked"
            arbiter.ctx.tell("console", Alert(text, dict(news.evidence)))
        self.revive(Revive(name, f"soulstone {name} is gone"))

    def hard_reset(self, verdict: HardReset) -> None:
        """The watchdog's sentence: kill, wait until the memory is free, start again (W26)."""
        name, cause = verdict.name, verdict.cause
        self.arbiter.ctx.tell("console", Alert(f"{name}: {cause}: hard reset", verdict.evidence))
        pid = self.arbiter.hands.observe().alive.get(name)
        self.revive(Revive(name, f"watchdog: {cause}", pid))

    def revive(self, order: Revive) -> None:
        """Start a dead member of an open coven again, as a transition of its own.

        Later where a transition is under way; not at all where that one has brought it back, or
        another process in the place of the condemned one.
        """
        arbiter, name = self.arbiter, order.name
        residency = arbiter.residency
        coven = next((c for c in residency.open if name in residency.managed(c)), None)
        reset = frozenset[str]()
        if order.condemned is not None and arbiter.hands.pids.get(name) == order.condemned:
            reset = frozenset({name})
        if coven is None or (not reset and name in residency.ready):
            return
        now = arbiter.ctx.now()
        wait = 0.0
        if arbiter.passage is not None or not arbiter.settled:
            wait = RETRY_SECONDS
        elif not reset:
            loading = name in arbiter.hands.observe().alive
            wait = max(RETRY_SECONDS if loading else 0.0, self.record_of(coven).until - now)
        if wait > 0.0:
            arbiter.ctx.timer(f"revive {name}", wait, order)
            return
        residency.closed.add(name)
        swap = Swap(order.reason, "watchdog", now, target=coven)
        arbiter.transitions.begin(swap, revival=frozenset({name}), reset=reset)

    def mend(self) -> None:
        """After a transition: whoever died meanwhile is started again (W26)."""
        self.tend_always()
        arbiter = self.arbiter
        for name in sorted(arbiter.present_world() - arbiter.always() - arbiter.hands.pids.keys()):
            self.revive(Revive(name, f"soulstone {name} is gone"))

    def tend_always(self) -> None:
        """Lexicons are started again at once, but not while the reactor is at work (W5)."""
        arbiter = self.arbiter
        if arbiter.passage is not None and arbiter.passage.move.phase in ACTING:
            return
        if arbiter.always() - arbiter.hands.observe().alive.keys():
            arbiter.hands.write_intent(arbiter.present_world(), frozenset())

    def health(self, news: SoulstoneHealth) -> None:
        """A probe of a shared soulstone opens or closes it; others have a watchdog (W4)."""
        arbiter = self.arbiter
        spec = arbiter.catalog.soulstones.get(news.name)
        if spec is None or spec.authority != "shared":
            return
        ready = arbiter.residency.ready
        if news.ok != (news.name in ready):
            (ready.add if news.ok else ready.discard)(news.name)
            now = "answers" if news.ok else "is gone"
            arbiter.event("shared", f"{news.name} {now}: {news.detail}")
            arbiter.push_admission()
