"""The supervisor actor: hears of deaths, asks ``decide`` what to do, and does it (S2–S8).

While it starts or stops a child it waits for that and for nothing else, as OTP's does: a death
that comes meanwhile is a message in its mailbox, and stale by then if that child was restarted.
"""

from __future__ import annotations

from covend.runtime.actor import Actor
from covend.runtime.errors import ReplyError
from covend.runtime.exits import SHUTDOWN, Exit
from covend.runtime.messages import Down
from covend.supervisors.decide import Action, Member, on_death, plan
from covend.supervisors.hosting import ActorHost, Child, reason_of
from covend.supervisors.keeper import Keeper, OnEvent
from covend.supervisors.messages import (
    ChildInfo,
    CountChildren,
    DeleteChild,
    FailedToStart,
    FindChild,
    ProcessExited,
    RestartChild,
    Retry,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from covend.supervisors.specs import ChildSpec, SpecError, SupervisorSpec


class Supervisor(Actor):
    """Keeps the children of one spec running, in order, by its strategy.

    ``on_event`` is told every ``Report``: a function, called in this actor's thread, or an actor.
    """

    def __init__(self, spec: SupervisorSpec, on_event: OnEvent | None = None) -> None:
        self.spec = spec
        self._on_event = on_event

    def on_start(self) -> None:
        """Start the children left to right, each acknowledged before the next (S4).

        Raises ``FailedToStart``, with what was started stopped again; it is not retried.
        """
        spec = self.spec
        self._keeper = Keeper(self.ctx, spec.intensity, spec.period, spec.otp_exact, self._on_event)
        children = self._keeper.children
        for child_spec in spec.children:
            child = children[child_spec.id] = Child(child_spec)
            try:
                self._keeper.start(child)
            except Exception as cause:
                self._keeper.stop_in_order()
                raise FailedToStart(child.id, cause) from cause

    def on_stop(self, reason: Exit) -> None:
        """Stop the children right to left (S4)."""
        self._keeper.stop_in_order()

    def on_receive(self, message: object) -> object:
        """Deaths and timers first (the control lane), then what one asks of it."""
        keeper = self._keeper
        match message:
            case Down(monitor=monitor, name=name, reason=reason):
                for child in keeper.children.values():
                    if isinstance(child.host, ActorHost) and child.host.monitor == monitor:
                        return self._died(child, reason)
                return keeper.stale(name, 0, reason)
            case ProcessExited(child=id, incarnation=incarnation, status=status):
                child = keeper.of_incarnation(id, incarnation, "running")
                if child is None:
                    return keeper.stale(id, incarnation, reason_of(status))
                return self._died(child, reason_of(status))
            case Retry(child=id, incarnation=incarnation):
                child = keeper.of_incarnation(id, incarnation, "waiting")
                if child is None:
                    return keeper.stale(id, incarnation, None)
                return self._restart(child)
            case WhichChildren():
                return [child.info() for child in keeper.children.values()]
            case CountChildren():
                return keeper.count()
            case FindChild(id=id):
                return keeper.children[id].info() if id in keeper.children else None
            case StartChild(spec=spec):
                return self._add(spec)
            case TerminateChild(id=id):
                return self._terminate(keeper.find(id))
            case RestartChild(id=id):
                return self._start_by_hand(keeper.find(id))
            case DeleteChild(id=id):
                return self._delete(keeper.find(id))
            case _:
                raise ReplyError(f"a supervisor has no answer to a {type(message).__name__}")

    # ── deaths ───────────────────────────────────────────────────────────────────────────────

    def _members(self) -> list[Member]:
        return [
            Member(child.id, child.spec.restart, child.spec.significant, child.state != "stopped")
            for child in self._keeper.children.values()
        ]

    def _died(self, child: Child, reason: Exit) -> None:
        keeper = self._keeper
        action = on_death(self._members(), self.spec.auto_shutdown, child.id, reason)
        child.died(reason)
        if action is Action.RESTART:
            delay = keeper.next_delay(child, self.ctx.now() - child.started_at)
            if delay > 0:
                keeper.wait(child, delay)
            else:
                self._restart(child)
            return
        keeper.report(action.value, child, reason)
        if child.spec.restart == "temporary":
            del keeper.children[child.id]
        if action is Action.SHUT_DOWN:
            self.ctx.stop(SHUTDOWN)

    def _restart(self, dead: Child) -> None:
        """Restart a child and whom the strategy takes along: one attempt, one count (S2, S3)."""
        keeper = self._keeper
        todo = plan(self._members(), self.spec.strategy, dead.id)
        if not keeper.allowed(dead, todo.start):
            return
        for id in todo.stop:
            if not keeper.stop(keeper.children[id]):
                return
        for id in todo.drop:
            del keeper.children[id]
        for id in todo.start:
            if not keeper.start_again(keeper.children[id]):
                return  # the rest follow once this one is up

    # ── requests ─────────────────────────────────────────────────────────────────────────────

    def _add(self, spec: ChildSpec) -> ChildInfo:
        children = self._keeper.children
        if spec.id in children:
            raise ReplyError(
                f"{self.spec.name} has a child {spec.id!r} already, it is {children[spec.id].state}"
            )
        try:
            self.spec.check(spec)
        except SpecError as error:
            raise ReplyError(str(error)) from error
        child = Child(spec)
        info = self._start_by_hand(child)
        children[spec.id] = child
        return info

    def _start_by_hand(self, child: Child) -> ChildInfo:
        if child.state != "stopped":
            raise ReplyError(f"child {child.id!r} is {child.state}: terminate it first")
        try:
            self._keeper.start(child)
        except Exception as cause:
            raise ReplyError(str(FailedToStart(child.id, cause))) from cause
        return child.info()

    def _terminate(self, child: Child) -> bool:
        if not self._keeper.stop(child):
            raise ReplyError(f"child {child.id!r} ignored its shutdown and is a zombie now")
        if child.spec.restart == "temporary":
            del self._keeper.children[child.id]
        return True

    def _delete(self, child: Child) -> bool:
        if child.state != "stopped":
            raise ReplyError(f"child {child.id!r} is {child.state}: terminate it first")
        del self._keeper.children[child.id]
        return True
