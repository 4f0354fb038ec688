"""A system of actors: names, spawning, monitoring from outside, dead letters, shutdown.

What every system does alike. How actors get to run, and what time it is, is in the two systems:
``ThreadSystem`` and ``SimSystem``.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, groupby
from types import TracebackType
from typing import Any, NamedTuple, Self

from covend.runtime.actor import Actor, Target
from covend.runtime.address import ActorRef, Address, Wire
from covend.runtime.answer import Answer, checked_timeout
from covend.runtime.cell import Cell
from covend.runtime.envelope import Envelope, Origin, here
from covend.runtime.errors import (
    ActorDead,
    ActorError,
    NameTaken,
    StartFailed,
    SystemStopped,
)
from covend.runtime.exits import NOPROC, SHUTDOWN, Exit, Failed
from covend.runtime.mailbox import Mailbox, MailboxSpec
from covend.runtime.messages import Down, Shutdown
from covend.runtime.timers import Fired
from covend.runtime.trace import TraceRing

log = logging.getLogger("covend.runtime")

_SAID_IN_VAIN = frozenset({Shutdown, Down, Fired})
"""What the dead need not hear: no dead letters."""

_STOPPED_AT_ONCE = 32


class DeadLetter(NamedTuple):
    """A message that nobody received."""

    target: str
    sender: str
    message: str
    why: str


class DeadLetters:
    """How many messages nobody received, and the last hundred of them."""

    def __init__(self) -> None:
        self.count = 0
        self.recent: deque[DeadLetter] = deque(maxlen=100)
        self._lock = threading.Lock()

    def add(self, letter: DeadLetter) -> None:
        """Count and keep one. Any thread."""
        with self._lock:
            self.count += 1
            self.recent.append(letter)


class ActorInfo(NamedTuple):
    """What a process list says of one actor."""

    name: str
    kind: str
    incarnation: int
    parent: str | None
    waiting: int
    waits_for: str


MOST_REMEMBERED = 10_000
"""Names that nobody has now, beside as many as there are living, whose incarnations are counted."""


class System(ABC):
    """The actors of one process, or of one simulation; ``node`` is its name in addresses."""

    def __init__(
        self, node: str, trace: TraceRing, first_id: int, now: Callable[[], float]
    ) -> None:
        if not node or "@" in node:
            raise ValueError(f"a node's name must not be empty nor contain '@': {node!r}")
        self.node = node
        self.trace = trace
        self.now = now
        """Monotonic seconds; virtual ones in a simulation."""
        self.ids = count(first_id)
        self.monitor_ids = count(1)
        self.wire: Wire | None = None
        self.dead_letters = DeadLetters()
        self.zombies: dict[str, Cell] = {}
        self.stopping = False
        self._cells: dict[Cell, None] = {}
        self._names: dict[str, Cell] = {}
        self._incarnations: dict[str, int] = {}
        self._unnamed = count(1)
        self._lock = threading.Lock()

    # ── what the two systems do each in their way ────────────────────────────────────────────

    @abstractmethod
    def answer(self, label: str, timeout: float) -> Answer:
        """Return an open answer of ``label`` with its deadline in ``timeout`` seconds."""

    @abstractmethod
    def call_at(self, deadline: float, answer: Answer) -> None:
        """Expire ``answer`` at ``deadline`` unless it is settled by then."""

    @abstractmethod
    def mailbox(
        self, name: str, spec: MailboxSpec, bury: Callable[[Envelope, ActorError], None]
    ) -> Mailbox:
        """Return a new mailbox."""

    @abstractmethod
    def launch(self, cell: Cell) -> None:
        """Let ``cell.run()`` run on a thread of its own; raises ``RuntimeError`` if it cannot."""

    @abstractmethod
    def checkpoint(self) -> None:
        """A point where a simulation may let others run first."""

    @abstractmethod
    def _close(self, timeout: float) -> None:
        """End what the system itself has running, after its actors ended or were fenced."""

    # ── spawning and names ───────────────────────────────────────────────────────────────────

    def spawn(
        self,
        actor_class: type[Actor],
        *args: Any,
        name: str | None = None,
        start_timeout: float = 30.0,
        **kwargs: Any,
    ) -> ActorRef:
        """Start an actor and return its ref once ``on_start`` has returned. Any thread.

        Raises ``StartFailed`` with its ``cause``: what ``__init__`` or ``on_start`` raised,
        ``NameTaken``, ``SystemStopped``, or ``TimeoutError`` after ``start_timeout`` seconds; the
        thread that goes on starting then is a zombie. In all cases the name is free again.
        """
        checked_timeout(start_timeout)
        if name is None:
            name = f"{actor_class.__name__.lower()}-{next(self._unnamed)}"
        elif not name or "@" in name:
            raise ValueError(f"an actor's name must not be empty nor contain '@': {name!r}")
        try:
            cell = self._register(name, actor_class(*args, **kwargs), start_timeout)
        except Exception as error:
            raise StartFailed(name, error) from error
        self.trace.note(
            "spawn",
            name,
            cell.parent.name if cell.parent else "",
            kind=actor_class.__name__,
            incarnation=cell.incarnation,
        )
        try:
            self.launch(cell)
        except RuntimeError as error:  # no more threads
            cell.mailbox.close()
            cell.finish(Failed(error))
            raise StartFailed(name, error) from error
        if not cell.started.wait(start_timeout):
            cell.fence()
            raise StartFailed(name, TimeoutError(f"on_start took over {start_timeout:g} s"))
        if cell.started.error is not None:
            raise StartFailed(name, cell.started.error) from cell.started.error
        return cell.ref

    def _register(self, name: str, actor: Actor, start_timeout: float) -> Cell:
        with self._lock:
            if self.stopping:
                raise SystemStopped(f"the system {self.node} is shutting down")
            if here.cell is not None and here.cell.fenced:
                raise ActorDead(f"{here.cell.name} is a zombie and starts nothing")
            if name in self._names:
                raise NameTaken(f"an actor named {name} is alive in {self.node}")
            incarnation = self._incarnations.get(name, 0) + 1
            self._incarnations[name] = incarnation
            if len(self._incarnations) > MOST_REMEMBERED + 2 * len(self._names):
                self._incarnations = {
                    each: number
                    for each, number in self._incarnations.items()
                    if each in self._names or each == name
                }
            cell = Cell(self, name, incarnation, actor, start_timeout)
            self._names[name] = cell
            self._cells[cell] = None
        return cell

    def forget(self, cell: Cell) -> None:
        """Free the name of an actor that has ended. Called by its cell, once."""
        with self._lock:
            self._cells.pop(cell, None)
            if self._names.get(cell.name) is cell:
                del self._names[cell.name]

    def find(self, name: str) -> ActorRef | None:
        """Return the living actor of that name here, or ``None``."""
        cell = self._names.get(name)
        return None if cell is None else cell.ref

    def address(self, name: str) -> Address:
        """Return the address of ``name`` here, or of ``name@node``; nobody need be there yet."""
        actor, at, node = name.partition("@")
        if not actor or (at and not node) or "@" in node:
            raise ValueError(f"an address reads 'name' or 'name@node', not {name!r}")
        return Address(self, actor, node or self.node)

    def attach(self, wire: Wire | None) -> None:
        """Reach other processes through ``wire`` from now on; ``None`` detaches it."""
        self.wire = wire

    def actors(self) -> list[ActorInfo]:
        """Return every living actor, the first spawned first."""
        return [
            ActorInfo(
                cell.name,
                type(cell.actor).__name__,
                cell.incarnation,
                cell.parent.name if cell.parent else None,
                len(cell.mailbox),
                cell.waits_for,
            )
            for cell in list(self._cells)
        ]

    def waits(self) -> dict[str, str]:
        """Return who waits for whom inside a handler; a cycle is a deadlock until a timeout."""
        return {cell.name: cell.waits_for for cell in list(self._cells) if cell.waits_for}

    # ── from outside ─────────────────────────────────────────────────────────────────────────

    def join(self, target: Target, timeout: float = 5.0) -> bool:
        """Wait until an actor of this process is down; returns whether it is. Any thread.

        Down is after ``on_stop`` ran, or when it was fenced as a zombie.
        """
        ref = target
        if isinstance(ref, str):
            ref = self.address(ref)
        if isinstance(ref, Address):
            if not ref.local:
                raise ValueError(f"{ref} is in another process: monitor it instead")
            ref = ref.resolve()
        return ref is None or ref.cell.gone.wait(timeout)

    def fence(self, target: ActorRef) -> bool:
        """Give an actor up as a zombie (S15); returns whether it was alive. Not its own thread.

        Its name is free, its monitors have their ``Down`` with ``ZOMBIE``, and nothing it does
        reaches anybody. ``zombies`` lists it until its thread ends.
        """
        if here.cell is target.cell:
            raise ActorError(f"{target.name} cannot fence itself")
        return target.cell.fence()

    def watch(self, name: str, on_down: Callable[[Exit], None]) -> Callable[[], bool]:
        """Call ``on_down(reason)`` exactly once when the actor of that name here is down (S9).

        It runs on the thread that ends it and must not block. Returns how to take it back.
        """
        cell = self._names.get(name)
        if cell is None:
            on_down(NOPROC)
            return lambda: False
        return cell.watch(on_down)

    def deliver(
        self, name: str, message: object, origin: Origin, answer: Answer | None = None
    ) -> None:
        """Hand in a message from another process; never blocks. For the wire.

        Raises ``MailboxFull``; where nobody has the name the answer, or a dead letter, says so.
        """
        envelope = self.trace.enclose(message, answer, name, origin)
        cell = self._names.get(name)
        if cell is None:
            self.bury(name, envelope, ActorDead(f"nobody is named {name}@{self.node}"))
        else:
            cell.mailbox.put(envelope, patient=False)

    def origin(self, target: str, message: object) -> Origin | None:
        """Trace a message that leaves this process; ``None`` if a zombie sends it."""
        me = here.cell
        msg_id = next(self.ids)
        if me is None:
            origin = Origin("", msg_id, 0, msg_id)
        elif me.fenced:
            me.muted(target, message)
            return None
        else:
            origin = Origin(f"{me.name}@{self.node}", msg_id, me.msg_id, me.trace_id or msg_id)
        self.trace.add("send", origin.sender, target, message, *origin[1:])
        return origin

    def bury(self, target: str, envelope: Envelope, error: ActorError) -> None:
        """See a message off that nobody receives: its asker gets ``error``, else it is counted."""
        message, answer = envelope.empty()
        sender = envelope.sender
        if answer is not None:
            answer.settle(error=error)
        elif type(message) in _SAID_IN_VAIN:
            return
        else:
            self.dead_letters.add(DeadLetter(target, sender, envelope.kind.__name__, str(error)))
        ids = (envelope.msg_id, envelope.cause_id, envelope.trace_id)
        self.trace.add("drop", target, sender, message, *ids, str(error))

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def shutdown(self, timeout: float = 10.0) -> list[str]:
        """Stop every actor and return the names of those that ignored it and are zombies now.

        First those that no actor spawned, the last spawned first, each awaited: a supervisor stops
        its children itself, in its order. Then whoever is left, likewise. Neighbours of one class
        are stopped together. Not in an actor.
        """
        checked_timeout(timeout)
        if here.cell is not None:
            raise ActorError(f"{here.cell.name} cannot shut its own system down")
        deadline = self.now() + timeout
        for top in (True, False):
            for peers in self._stop_order(top=top):
                for cell in peers:
                    cell.ref.stop(SHUTDOWN)
                for cell in peers:
                    # Who hangs gets half of what is left, so that the others get their turn.
                    cell.gone.wait((deadline - self.now()) / 2)
        with self._lock:
            self.stopping = True
        ignored: list[str] = []
        for cell in list(self._cells):
            cell.ref.stop(SHUTDOWN)
            if not cell.gone.wait(max(0.0, deadline - self.now())) and cell.fence():
                log.error("%s ignored its shutdown and is left behind as a zombie", cell.name)
                ignored.append(cell.name)
        self._close(max(1.0, deadline - self.now()))
        return ignored

    def _stop_order(self, *, top: bool) -> Iterator[list[Cell]]:
        """Yield the living in the order of stopping, peers of one class up to a number at once."""
        living = [cell for cell in reversed(list(self._cells)) if not (top and cell.parent)]
        for _, run in groupby(living, key=lambda cell: type(cell.actor)):
            peers = list(run)
            for first in range(0, len(peers), _STOPPED_AT_ONCE):
                yield peers[first : first + _STOPPED_AT_ONCE]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()
