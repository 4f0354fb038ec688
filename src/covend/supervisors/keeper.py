"""What every supervisor does alike: count restarts, time them, stop children, tell what it did."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

from covend.runtime.actor import Context
from covend.runtime.address import ActorRef, Address
from covend.runtime.errors import ActorError, ReplyError, StartFailed, SystemStopped
from covend.runtime.exits import SHUTDOWN, ZOMBIE, Escalated, Exit, Failed
from covend.supervisors.hosting import Child
from covend.supervisors.intensity import NANOSECONDS, Intensity
from covend.supervisors.messages import Counts, Report, Retry

OnEvent: TypeAlias = Callable[[Report], None] | ActorRef | Address
"""Whom a supervisor tells its reports: a function (called in its thread) or an actor."""

_log = logging.getLogger(__name__)


class Keeper:
    """One supervisor's children and its restart log. The supervisor's thread only."""

    def __init__(
        self, ctx: Context, intensity: int, period: float, otp_exact: bool, on_event: OnEvent | None
    ) -> None:
        self.ctx = ctx
        self.children: dict[str, Child] = {}
        """By id, in start order."""
        self._limit = Intensity.per_seconds(intensity, period)
        self._restarts: tuple[int, ...] = ()
        self._otp_exact = otp_exact
        self._on_event = on_event

    def find(self, child: str) -> Child:
        """The child of that id; raises ``ReplyError`` when there is none."""
        try:
            return self.children[child]
        except KeyError:
            known = ", ".join(self.children) or "none"
            raise ReplyError(f"{self.ctx.name} has no child {child!r}; it has: {known}") from None

    def count(self) -> Counts:
        """How many there are of what."""
        kinds = [child.spec.kind for child in self.children.values()]
        return Counts(
            specs=len(kinds),
            active=sum(child.state == "running" for child in self.children.values()),
            workers=kinds.count("worker"),
            supervisors=kinds.count("supervisor"),
            processes=kinds.count("process"),
        )

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    def start(self, child: Child) -> None:
        """Start a child and report it; raises the error that it did not start with."""
        try:
            child.start(self.ctx)
        except Exception as error:
            child.down()
            cause = error.cause if isinstance(error, StartFailed) else error
            child.cause = Failed(cause)
            self.report("failed_to_start", child, child.cause)
            raise cause from None
        self.report("started", child)

    def start_again(self, child: Child) -> bool:
        """Start a child as part of a restart; where it fails, try again later (S3)."""
        try:
            self.start(child)
        except SystemStopped:
            self.ctx.stop(SHUTDOWN)  # everything ends: this is no fault of the child's
            return False
        except Exception:
            self.wait(child, self.next_delay(child, lived=0.0))
            return False
        child.restarts += 1
        return True

    # ── restarting ───────────────────────────────────────────────────────────────────────────

    def of_incarnation(self, child: str, incarnation: int, state: str) -> Child | None:
        """The child that a message is about; None when it is about a former life of it (S8)."""
        found = self.children.get(child)
        if found and found.incarnation == incarnation and found.state == state:
            return found
        return None

    def next_delay(self, child: Child, lived: float) -> float:
        """Seconds until the next restart of a child that lived so long; counts it (S7)."""
        backoff = child.spec.backoff
        if backoff is None:
            return 0.0
        before = backoff.counted(child.backed_off, lived)
        child.backed_off = before + 1
        # Seeded by name: siblings spread out, and a simulation replays identically.
        chance = random.Random(f"{self.ctx.name}/{child.id}/{child.incarnation}").random()
        return backoff.delay(before, chance)

    def wait(self, child: Child, seconds: float) -> None:
        """Try its restart again in so many seconds; it can be terminated meanwhile (S7)."""
        child.state = "waiting"
        self.report("wait", child, child.cause, delay=seconds)
        self.ctx.timer(("restart", child.id), seconds, Retry(child.id, child.incarnation))

    def allowed(self, child: Child, group: Sequence[str]) -> bool:
        """Count one restart attempt; when it is one too many, give up as a whole (S3, S6)."""
        now = round(self.ctx.now() * NANOSECONDS)
        self._restarts, allowed = self._limit.add(self._restarts, now)
        if allowed:
            self.report("restart", child, child.cause, group=tuple(group))
        else:
            self.give_up(child, child.cause)
        return allowed

    def give_up(self, child: Child, cause: Exit) -> None:
        """End this supervisor, abnormally, because of one child (S6)."""
        self.report("escalate", child, cause)
        self.ctx.stop(SHUTDOWN if self._otp_exact else Escalated(cause))

    # ── stopping ─────────────────────────────────────────────────────────────────────────────

    def stop(self, child: Child) -> bool:
        """Stop one child and await its end; False, and the end of us, for a zombie (S15)."""
        zombies = self.stop_together([child])
        if zombies:
            self.give_up(child, ZOMBIE)
        return not zombies

    def stop_in_order(self) -> None:
        """Stop all children right to left, each awaited before the next (S4)."""
        for child in reversed(self.children.values()):
            self.stop_together([child])

    def stop_together(self, children: Sequence[Child]) -> list[Child]:
        """Ask all to stop, then await each; returns the zombies, fenced and reported (S15)."""
        for child in children:
            self.ctx.cancel(("restart", child.id))
            if child.host is not None:
                child.host.ask_to_stop()
        asked = self.ctx.now()
        zombies: list[Child] = []
        for child in children:
            host, was = child.host, child.state
            gone = True
            if host is not None:
                gone = host.wait_stopped(max(0.0, asked + child.patience() - self.ctx.now()))
            child.down()
            if not gone:
                zombies.append(child)
                self.report("zombie", child, ZOMBIE)
            elif was != "stopped":
                self.report("stopped", child, SHUTDOWN)
        return zombies

    # ── telling ──────────────────────────────────────────────────────────────────────────────

    def report(
        self,
        decision: str,
        child: Child,
        reason: Exit | None = None,
        delay: float = 0.0,
        group: tuple[str, ...] = (),
    ) -> None:
        """One record in the trace, and the same to whoever listens."""
        self.tell(
            Report(
                supervisor=self.ctx.name,
                child=child.id,
                incarnation=child.incarnation,
                decision=decision,
                at=self.ctx.now(),
                reason=reason,
                delay=delay,
                group=group,
                recent=len(self._restarts),
            )
        )

    def stale(self, child: str, incarnation: int, reason: Exit | None) -> None:
        """Report a death or timer of a former life, which changes nothing (S8)."""
        self.tell(Report(self.ctx.name, child, incarnation, "stale", self.ctx.now(), reason=reason))

    def tell(self, report: Report) -> None:
        """Write a report to the trace and pass it on."""
        self.ctx.system.trace.note(
            "restart",
            report.supervisor,
            report.child,
            incarnation=report.incarnation,
            decision=report.decision,
            reason=str(report.reason) if report.reason else "",
            delay=report.delay,
            group=report.group,
            recent=report.recent,
        )
        listener = self._on_event
        if listener is None:
            return
        try:
            if isinstance(listener, ActorRef | Address):
                self.ctx.tell(listener, report)
            else:
                listener(report)
        except ActorError:
            pass  # the listener is gone or full: the trace has it
        except Exception:
            _log.exception("a listener of supervisor %s failed", self.ctx.name)
