"""The dynamic supervisor: many children of one template, each restarted by itself (S2)."""

from __future__ import annotations

from typing import ClassVar

from covend.runtime.errors import ReplyError
from covend.runtime.exits import Exit
from covend.runtime.messages import MonitorId
from covend.supervisors.base import BaseSupervisor
from covend.supervisors.decide import is_restarted
from covend.supervisors.hosting import ActorHost, Child
from covend.supervisors.keeper import OnEvent
from covend.supervisors.messages import ChildInfo, StartMember
from covend.supervisors.specs import DynamicSpec


class DynamicSupervisor(BaseSupervisor[DynamicSpec]):
    """Keeps any number of children of one template; they are found by their name.

    It starts with none. Stopped, it stops them all at once and awaits them together.
    """

    kind: ClassVar[str] = "dynamic supervisor"

    def __init__(self, spec: DynamicSpec, on_event: OnEvent | None = None) -> None:
        super().__init__(spec, on_event)
        self._monitors: dict[MonitorId, Child] = {}

    def on_stop(self, reason: Exit) -> None:
        """Stop all children in parallel (S2)."""
        self._keeper.stop_together(list(self._keeper.children.values()))

    def _asked(self, message: object) -> object:
        return self._add(message) if isinstance(message, StartMember) else super()._asked(message)

    def _add(self, request: StartMember) -> ChildInfo:
        children = self._keeper.children
        if not request.id:
            raise ReplyError(f"a child of {self.spec.name} without an id: give each one, unique")
        if request.id in children:
            raise ReplyError(f"{self.spec.name} has a child {request.id!r} already")
        if len(children) >= self.spec.max_children:
            raise ReplyError(f"{self.spec.name} has {len(children)} children and may have no more")
        child = Child(self.spec.child, request.id, tuple(request.args), request.kwargs)
        info = self._start_by_hand(child)
        children[child.id] = child
        self._watch(child)
        return info

    def _watch(self, child: Child) -> None:
        # Thousands of children: their deaths are looked up, not searched for.
        if isinstance(child.host, ActorHost):
            self._monitors[child.host.monitor] = child

    def _watched(self, monitor: MonitorId) -> Child | None:
        return self._monitors.pop(monitor, None)

    def _died(self, child: Child, reason: Exit) -> None:
        child.died(reason)
        if is_restarted(child.spec.restart, reason):
            self._restart_when_due(child)
        else:
            del self._keeper.children[child.id]
            self._keeper.report("drop", child, reason)

    def _restart(self, child: Child) -> None:
        if self._keeper.allowed(child, (child.id,)) and self._keeper.start_again(child):
            self._watch(child)

    def _terminate(self, child: Child) -> bool:
        if isinstance(child.host, ActorHost):
            self._monitors.pop(child.host.monitor, None)
        super()._terminate(child)
        del self._keeper.children[child.id]
        return True
