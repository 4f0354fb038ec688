"""The supervisor actor: hears of deaths, asks ``decide`` what to do, and does it (S2–S8)."""

from __future__ import annotations

from covend.runtime.errors import ReplyError
from covend.runtime.exits import SHUTDOWN, Exit
from covend.runtime.messages import MonitorId
from covend.supervisors.base import BaseSupervisor
from covend.supervisors.decide import Action, Member, on_death, plan
from covend.supervisors.hosting import ActorHost, Child
from covend.supervisors.messages import (
    ChildInfo,
    DeleteChild,
    FailedToStart,
    RestartChild,
    StartChild,
)
from covend.supervisors.specs import ChildSpec, SpecError, SupervisorSpec


class Supervisor(BaseSupervisor[SupervisorSpec]):
    """Keeps the children of one spec running, in order, by its strategy."""

    def on_start(self) -> None:
        """Start the children left to right, each acknowledged before the next (S4).

        Raises ``FailedToStart``, with what was started stopped again; it is not retried.
        """
        super().on_start()
        children = self._keeper.children
        for child_spec in self.spec.children:
            child = children[child_spec.id] = Child(child_spec)
            try:
                self._keeper.start(child)
            except Exception as cause:
                self._keeper.stop_in_order()
                raise FailedToStart(child.id, cause) from cause

    def on_stop(self, reason: Exit) -> None:
        """Stop the children right to left (S4)."""
        self._keeper.stop_in_order()

    def _asked(self, message: object) -> object:
        keeper = self._keeper
        match message:
            case StartChild(spec=spec):
                return self._add(spec)
            case RestartChild(id=id):
                child = keeper.find(id)
                self._check_stopped(child)
                return self._start_by_hand(child)
            case DeleteChild(id=id):
                self._check_stopped(keeper.find(id))
                del keeper.children[id]
                return True
            case _:
                return super()._asked(message)

    # ── deaths ───────────────────────────────────────────────────────────────────────────────

    def _watched(self, monitor: MonitorId) -> Child | None:
        for child in self._keeper.children.values():
            if isinstance(child.host, ActorHost) and child.host.monitor == monitor:
                return child
        return None

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
            self._restart_when_due(child)
            return
        keeper.report(action.value, child, reason)
        if child.spec.restart == "temporary":
            del keeper.children[child.id]
        if action is Action.SHUT_DOWN:
            self.ctx.stop(SHUTDOWN)

    def _restart(self, child: Child) -> None:
        """Restart a child and whom the strategy takes along: one attempt, one count (S2, S3)."""
        keeper = self._keeper
        todo = plan(self._members(), self.spec.strategy, child.id)
        if not keeper.allowed(child, todo.start):
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

    def _check_stopped(self, child: Child) -> None:
        if child.state != "stopped":
            raise ReplyError(f"child {child.id!r} is {child.state}: terminate it first")

    def _terminate(self, child: Child) -> bool:
        super()._terminate(child)
        if child.spec.restart == "temporary":
            del self._keeper.children[child.id]
        return True
