"""The dynamic supervisor: many children of one template, each restarted by itself (S2)."""

from __future__ import annotations

from dataclasses import replace

from covend.runtime.actor import Actor
from covend.runtime.errors import ReplyError
from covend.runtime.exits import Exit
from covend.runtime.messages import Down, MonitorId
from covend.supervisors.decide import is_restarted
from covend.supervisors.hosting import ActorHost, Child, reason_of
from covend.supervisors.keeper import Keeper, OnEvent
from covend.supervisors.messages import (
    ChildInfo,
    CountChildren,
    FailedToStart,
    FindChild,
    ProcessExited,
    Retry,
    StartMember,
    TerminateChild,
    WhichChildren,
)
from covend.supervisors.specs import DynamicSpec


class DynamicSupervisor(Actor):
    """Keeps any number of children of one template; they are found by their name.

    It starts with none. Stopped, it stops them all at once and awaits them together.
    """

    def __init__(self, spec: DynamicSpec, on_event: OnEvent | None = None) -> None:
        self.spec = spec
        self._on_event = on_event
        self._monitors: dict[MonitorId, Child] = {}

    def on_start(self) -> None:
        """Nothing to start yet."""
        spec = self.spec
        self._keeper = Keeper(self.ctx, spec.intensity, spec.period, spec.otp_exact, self._on_event)

    def on_stop(self, reason: Exit) -> None:
        """Stop all children in parallel (S2)."""
        self._keeper.stop_together(list(self._keeper.children.values()))

    def on_receive(self, message: object) -> object:
        """Deaths and timers first (the control lane), then what one asks of it."""
        keeper = self._keeper
        match message:
            case Down(monitor=monitor, name=name, reason=reason):
                child = self._monitors.pop(monitor, None)
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
            case StartMember():
                return self._add(message)
            case TerminateChild(id=id):
                return self._terminate(keeper.find(id))
            case _:
                raise ReplyError(
                    f"a dynamic supervisor has no answer to a {type(message).__name__}"
                )

    def _add(self, request: StartMember) -> ChildInfo:
        children = self._keeper.children
        if request.id in children:
            raise ReplyError(f"{self.spec.name} has a child {request.id!r} already")
        if len(children) >= self.spec.max_children:
            raise ReplyError(f"{self.spec.name} has {len(children)} children and may have no more")
        spec = replace(self.spec.child, id=request.id, name=request.id)
        child = Child(spec, tuple(request.args), request.kwargs)
        try:
            self._keeper.start(child)
        except Exception as cause:
            raise ReplyError(str(FailedToStart(child.id, cause))) from cause
        children[child.id] = child
        self._watch(child)
        return child.info()

    def _watch(self, child: Child) -> None:
        # Thousands of children: their deaths are looked up, not searched for.
        if isinstance(child.host, ActorHost):
            self._monitors[child.host.monitor] = child

    def _died(self, child: Child, reason: Exit) -> None:
        child.died(reason)
        if not is_restarted(child.spec.restart, reason):
            del self._keeper.children[child.id]
            self._keeper.report("drop", child, reason)
            return
        delay = self._keeper.next_delay(child, self.ctx.now() - child.started_at)
        if delay > 0:
            self._keeper.wait(child, delay)
        else:
            self._restart(child)

    def _restart(self, child: Child) -> None:
        if self._keeper.allowed(child, (child.id,)) and self._keeper.start_again(child):
            self._watch(child)

    def _terminate(self, child: Child) -> bool:
        if isinstance(child.host, ActorHost):
            self._monitors.pop(child.host.monitor, None)
        if not self._keeper.stop(child):
            raise ReplyError(f"child {child.id!r} ignored its shutdown and is a zombie now")
        del self._keeper.children[child.id]
        return True
