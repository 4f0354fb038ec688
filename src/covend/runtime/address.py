"""Who to talk to: a ref is one incarnation of an actor, an address is a name (S13).

An address is resolved at every use, so it outlives restarts. Its actor may be in another process
of this box: then an attached ``Wire`` carries the message, and telling it looks the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from covend.runtime.answer import Answer, checked_timeout
from covend.runtime.envelope import Origin, here
from covend.runtime.errors import ActorDead, AskToSelf, Unreachable
from covend.runtime.exits import SHUTDOWN, Exit
from covend.runtime.messages import Shutdown

if TYPE_CHECKING:
    from covend.runtime.cell import Cell
    from covend.runtime.system import System


class Wire(Protocol):
    """Carries messages to actors in other processes; attached with ``system.attach(wire)``.

    What comes in, the wire hands to ``system.deliver`` and ``system.watch``.
    """

    def tell(self, node: str, name: str, message: object, origin: Origin) -> None:
        """Send without waiting; raises ``Unreachable`` (then it is a dead letter here)."""
        ...

    def ask(self, node: str, name: str, message: object, origin: Origin, answer: Answer) -> None:
        """Send, and ``answer.settle(...)`` with what comes back; raises ``Unreachable``."""
        ...

    def monitor(
        self, node: str, name: str, on_down: Callable[[Exit], None]
    ) -> Callable[[], object]:
        """Call ``on_down`` once when that actor or its node is gone; returns how to cancel."""
        ...


class ActorRef:
    """One incarnation of an actor of this process. Any thread may use it."""

    __slots__ = ("_cell", "_ids", "_put", "_send", "incarnation", "name")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._ids = cell.ids
        self._send = cell.trace.send
        self._put = cell.mailbox.put
        self.name = cell.name
        self.incarnation = cell.incarnation

    @property
    def cell(self) -> Cell:
        """The actor's cell: for the runtime itself."""
        return self._cell

    @property
    def alive(self) -> bool:
        """Whether it still takes messages."""
        return not self._cell.mailbox.closed

    @property
    def address(self) -> Address:
        """The name of this actor, which its next incarnation will have too."""
        return self._cell.system.address(self.name)

    def tell(self, message: object) -> None:
        """Send and forget; to the dead it is a dead letter.

        Raises ``MailboxFull`` as the mailbox's policy says, after blocking as long as it says.
        """
        msg_id = next(self._ids)
        me = here.cell
        if me is None:
            self._put(self._send(message, None, "", self.name, msg_id, 0, msg_id))
        elif me.fenced:
            me.muted(self.name, message)
        else:
            ids = (msg_id, me.msg_id, me.trace_id or msg_id)
            self._put(self._send(message, None, me.name, self.name, *ids))

    def ask_later(self, message: object, timeout: float) -> Answer:
        """Send and return the ``Answer``, which is settled after ``timeout`` seconds at most."""
        return self._ask(message, checked_timeout(timeout), here.cell)

    def ask(self, message: object, timeout: float) -> Any:
        """Send and wait up to ``timeout`` seconds for the reply (S12).

        Raises ``ActorDead``, ``AskTimeout``, ``MailboxFull``, ``AskToSelf`` or the handler's error.
        """
        me = here.cell
        if me is self._cell:
            raise AskToSelf(f"{self.name} asked itself and would wait for its own answer")
        return self._ask(message, checked_timeout(timeout), me).get()

    def _ask(self, message: object, timeout: float, me: Cell | None) -> Answer:
        msg_id = next(self._ids)
        answer = self._cell.system.answer(self.name, timeout)
        if me is None:
            self._put(self._send(message, answer, "", self.name, msg_id, 0, msg_id))
        elif me.fenced:
            me.muted(self.name, message)
            answer.settle(error=ActorDead(f"{me.name} is a zombie: what it sends is dropped"))
        else:
            ids = (msg_id, me.msg_id, me.trace_id or msg_id)
            self._put(self._send(message, answer, me.name, self.name, *ids))
        return answer

    def stop(self, reason: Exit = SHUTDOWN) -> None:
        """Ask it to stop after the message it is at; returns at once. Any thread."""
        self.tell(Shutdown(reason))

    def __repr__(self) -> str:
        return f"<{self.name} #{self.incarnation}>"


class Address:
    """A name on a node, resolved at each use. Any thread may use it."""

    __slots__ = ("_system", "name", "node")

    def __init__(self, system: System, name: str, node: str) -> None:
        self._system = system
        self.name = name
        self.node = node

    @property
    def local(self) -> bool:
        """Whether it is in this process."""
        return self.node == self._system.node

    def resolve(self) -> ActorRef | None:
        """Return the incarnation that has the name now; ``None`` if none has, or it is remote."""
        return self._system.find(self.name) if self.local else None

    def tell(self, message: object) -> None:
        """As ``ActorRef.tell``; where nobody can be reached it is a dead letter."""
        if (ref := self.resolve()) is not None:
            ref.tell(message)
            return
        origin = self._system.origin(str(self), message)
        if origin is None:
            return
        try:
            if self.local:
                raise Unreachable(f"nobody is named {self.name}")
            self._wire().tell(self.node, self.name, message, origin)
        except Unreachable as error:
            letter = self._system.trace.enclose(message, None, str(self), origin)
            self._system.bury(str(self), letter, error)

    def ask_later(self, message: object, timeout: float) -> Answer:
        """As ``ActorRef.ask_later``; where nobody can be reached the answer says so."""
        if (ref := self.resolve()) is not None:
            return ref.ask_later(message, timeout)
        answer = self._system.answer(str(self), checked_timeout(timeout))
        origin = self._system.origin(str(self), message)
        if self.local or origin is None:
            answer.settle(error=ActorDead(f"nobody is named {self}"))
            return answer
        try:
            self._wire().ask(self.node, self.name, message, origin, answer)
        except Unreachable as error:
            answer.settle(error=error)
        return answer

    def ask(self, message: object, timeout: float) -> Any:
        """As ``ActorRef.ask``; raises ``Unreachable`` where its process cannot be reached."""
        if (ref := self.resolve()) is not None:
            return ref.ask(message, timeout)
        return self.ask_later(message, timeout).get()

    def stop(self, reason: Exit = SHUTDOWN) -> None:
        """Ask whoever has the name to stop; returns at once."""
        self.tell(Shutdown(reason))

    def watch(self, on_down: Callable[[Exit], None]) -> Callable[[], object]:
        """Call ``on_down(reason)`` once, on any thread, when it ends; returns how to cancel."""
        if self.local:
            return self._system.watch(self.name, on_down)
        return self._wire().monitor(self.node, self.name, on_down)

    def _wire(self) -> Wire:
        wire = self._system.wire
        if wire is None:
            raise Unreachable(f"{self} is in another process and no wire is attached to this one")
        return wire

    def __str__(self) -> str:
        return f"{self.name}@{self.node}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash((self.name, self.node))
