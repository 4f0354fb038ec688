"""What an actor's author writes, and what the runtime offers him while it runs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from covend.runtime.address import ActorRef, Address
from covend.runtime.answer import Answer, Promise
from covend.runtime.envelope import Origin
from covend.runtime.errors import Unreachable
from covend.runtime.exits import NOPROC, NORMAL, Exit
from covend.runtime.mailbox import MailboxSpec
from covend.runtime.messages import Down, MonitorId

if TYPE_CHECKING:
    from covend.runtime.cell import Cell
    from covend.runtime.system import System

Target: TypeAlias = ActorRef | Address | str


class Actor:
    """One state, one thread, one message at a time.

    ``trap_shutdown = True`` hands ``Shutdown(reason)`` to ``on_receive`` instead of obeying it:
    the actor then ends itself with ``ctx.stop(reason)`` once it is ready.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec()
    trap_shutdown: ClassVar[bool] = False
    ctx: Context
    """Set before ``on_start``; not in ``__init__``, which runs in the spawner's thread."""

    def on_start(self) -> None:
        """Prepare, in the actor's thread; whatever it raises makes the start fail."""

    def on_receive(self, message: object) -> object:
        """Handle one message; what it returns answers an ask."""
        raise TypeError(
            f"{type(self).__name__} got a {type(message).__name__} and has no on_receive for it"
        )

    def on_stop(self, reason: Exit) -> None:
        """Clean up, in the actor's thread, the mailbox already closed; not after a failed start."""


class Context:
    """What an actor may do while it handles a message. Its own thread only."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def me(self) -> ActorRef:
        """This actor's own ref."""
        return self._cell.ref

    @property
    def name(self) -> str:
        """This actor's own name."""
        return self._cell.name

    @property
    def system(self) -> System:
        """The system it runs in."""
        return self._cell.system

    @property
    def state(self) -> object:
        """What ``enter`` was called with last."""
        return self._cell.state

    def now(self) -> float:
        """Monotonic seconds; virtual in a simulation."""
        return self._cell.system.now()

    def waiting(self) -> int:
        """How many messages wait behind the one being handled; more may come at any time."""
        return len(self._cell.mailbox)

    def tell(self, target: Target, message: object) -> None:
        """Tell a ref, an address or a name; this message is the cause in the trace."""
        self._resolve(target).tell(message)

    def ask(self, target: Target, message: object, timeout: float) -> Any:
        """Ask and wait, as ``ActorRef.ask``; nothing else is handled meanwhile."""
        return self._resolve(target).ask(message, timeout)

    def ask_later(self, target: Target, message: object, timeout: float) -> Answer:
        """Ask without waiting, as ``ActorRef.ask_later``."""
        return self._resolve(target).ask_later(message, timeout)

    def later(self) -> Promise:
        """Return the promise to answer the message being handled; return it from the handler."""
        return Promise(self._cell, self._cell.asked)

    def timer(self, key: Hashable, seconds: float, message: object, state: object = None) -> None:
        """Deliver ``message`` on the control lane in ``seconds``; replaces the timer of ``key``.

        With a ``state`` it is cancelled when the actor enters another one (S14).
        """
        cell = self._cell
        deadline = cell.system.now() + max(0.0, seconds)
        cell.mailbox.timers.arm(key, deadline, message, state, cell.msg_id, cell.trace_id)

    def cancel(self, key: Hashable) -> bool:
        """Cancel a timer: it does not arrive any more, fired or not. Returns if there was one."""
        return self._cell.mailbox.timers.cancel(key)

    def enter(self, state: object) -> None:
        """Enter a state, which cancels the timers that were declared for another (S14)."""
        self._cell.state = state
        self._cell.mailbox.timers.enter(state)

    def monitor(self, target: Target) -> MonitorId:
        """Be told by exactly one ``Down`` when ``target`` is gone; at once if it is (S9)."""
        cell = self._cell
        monitor = MonitorId(next(cell.system.monitor_ids))
        who = self._resolve(target)
        name = str(who) if isinstance(who, Address) and not who.local else who.name

        def on_down(reason: Exit) -> None:
            down = Down(monitor, name, reason)
            msg_id = next(cell.ids)
            cell.trace.add("down", cell.name, name, down, msg_id, 0, msg_id, str(reason))
            origin = Origin(name, msg_id, 0, msg_id)
            cell.mailbox.put_control(cell.trace.enclose(down, None, cell.name, origin))

        cell.watching[monitor] = lambda: True
        ref = who.resolve() if isinstance(who, Address) else who
        if ref is not None:
            cell.watching[monitor] = ref.cell.watch(on_down)
        elif isinstance(who, Address) and not who.local:
            try:
                cancel = who.watch(on_down)
                cell.watching[monitor] = lambda: cancel() is not False
            except Unreachable:
                on_down(NOPROC)
        else:
            on_down(NOPROC)
        return monitor

    def demonitor(self, monitor: MonitorId, flush: bool = True) -> None:
        """Take a monitor back: with ``flush`` no ``Down`` of it arrives after this returns (S9).

        Without, one that is under way still arrives.
        """
        cancel = self._cell.watching.get(monitor)
        if cancel is not None and (cancel() or flush):
            del self._cell.watching[monitor]

    def stop(self, reason: Exit = NORMAL) -> None:
        """Stop this actor after the message it is at; the first reason given stands."""
        if self._cell.leaving is None:
            self._cell.leaving = reason

    def _resolve(self, target: Target) -> ActorRef | Address:
        if isinstance(target, str):
            system = self._cell.system
            return system.find(target) or system.address(target)
        return target
