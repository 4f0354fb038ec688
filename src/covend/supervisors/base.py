"""What both kinds of supervisor do alike: deaths, retries, and what anybody may ask of them.

While it starts or stops a child a supervisor waits for that and for nothing else, as OTP's does: a
death that comes meanwhile is a message in its mailbox, and stale by then if that child was
restarted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from covend.runtime.actor import Actor
from covend.runtime.errors import ReplyError
from covend.runtime.exits import Exit
from covend.runtime.messages import Down, MonitorId
from covend.supervisors.hosting import Child, reason_of
from covend.supervisors.keeper import Keeper, OnEvent
from covend.supervisors.messages import (
    ChildInfo,
    CountChildren,
    FailedToStart,
    FindChild,
    ProcessExited,
    Retry,
    TerminateChild,
    WhichChildren,
)
from covend.supervisors.specs import DynamicSpec, SupervisorSpec

S = TypeVar("S", SupervisorSpec, DynamicSpec)


class BaseSupervisor(Actor, ABC, Generic[S]):
    """Keeps children by a spec; who restarts with whom is its subclass's affair.

    ``on_event`` is told every ``Report``: a function, called in this actor's thread, or an actor.
    """

    kind: ClassVar[str] = "supervisor"

    def __init__(self, spec: S, on_event: OnEvent | None = None) -> None:
        self.spec = spec
        self._on_event = on_event

    def on_start(self) -> None:
        """Begin to keep children; there is none yet."""
        spec = self.spec
        self._keeper = Keeper(self.ctx, spec.intensity, spec.period, spec.otp_exact, self._on_event)

    def on_receive(self, message: object) -> object:
        """Deaths and timers first (the control lane), then what one asks of it."""
        keeper = self._keeper
        match message:
            case Down(monitor=monitor, name=name, reason=reason):
                child = self._watched(monitor)
                if child is None:
                    return keeper.stale(name, 0, reason)
                return self._died(child, reason)
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
            case TerminateChild(id=id):
                return self._terminate(keeper.find(id))
            case _:
                return self._asked(message)

    def _asked(self, message: object) -> object:
        """What only this kind of supervisor answers."""
        raise ReplyError(f"a {self.kind} has no answer to a {type(message).__name__}")

    @abstractmethod
    def _watched(self, monitor: MonitorId) -> Child | None:
        """The child whose actor this monitor watches."""

    @abstractmethod
    def _died(self, child: Child, reason: Exit) -> None:
        """A child ended that was not stopped."""

    @abstractmethod
    def _restart(self, child: Child) -> None:
        """One attempt, one count (S3)."""

    def _restart_when_due(self, child: Child) -> None:
        """Restart at once, or when its backoff has passed (S7)."""
        delay = self._keeper.next_delay(child, self.ctx.now() - child.started_at)
        if delay > 0:
            self._keeper.wait(child, delay)
        else:
            self._restart(child)

    def _start_by_hand(self, child: Child) -> ChildInfo:
        try:
            self._keeper.start(child)
        except Exception as cause:
            raise ReplyError(str(FailedToStart(child.id, cause))) from cause
        return child.info()

    def _terminate(self, child: Child) -> bool:
        if not self._keeper.stop(child):
            raise ReplyError(f"child {child.id!r} ignored its shutdown and is a zombie now")
        return True
