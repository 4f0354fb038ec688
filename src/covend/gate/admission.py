"""Slots and the waiting room: who may be sent where, now (W8, W15, G3, G6). No I/O, no clock.

Tickets and stones are the whole state. A ticket is one request; a stone is one soulstone as this
gate may use it. The life of a ticket is the table ``MOVES``; whatever order a last byte, an error,
a disconnect and a retry come in, a slot that was taken is given back exactly once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

from covend.protocol import CLASSES, InUse
from covend.will.order import Streak, next_class

NEW, WAITING, HOLDING, DONE = "new", "waiting", "holding", "done"
QUEUE, GRANT, REQUEUE, END = "queue", "grant", "requeue", "end"

MOVES: dict[tuple[str, str], str] = {
    (NEW, QUEUE): WAITING,
    (NEW, GRANT): HOLDING,
    (NEW, END): DONE,
    (WAITING, GRANT): HOLDING,
    (WAITING, END): DONE,
    (HOLDING, REQUEUE): WAITING,
    (HOLDING, END): DONE,
    (DONE, END): DONE,
    (DONE, REQUEUE): DONE,
}
"""A ticket's life. Leaving HOLDING is what frees the slot; DONE absorbs what comes late (G6)."""


class Ticket(ABC):
    """One request: what it asks for, in which class, since when, and where it is served."""

    __slots__ = (
        "arrived", "capability", "id", "klass", "state", "stone", "streams", "taken", "tokens",
    )  # fmt: skip

    def __init__(self, id: str, capability: str, klass: str, arrived: float) -> None:
        self.id = id
        self.capability = capability
        self.klass = klass
        self.arrived = arrived
        self.state = NEW
        self.stone: Stone | None = None
        self.taken = 0.0
        self.tokens = 0
        self.streams = False

    def stream(self, streams: bool) -> None:
        """Whether its answer flows from now on, so that silence is a bad sign (W26)."""
        if self.stone is not None and streams is not self.streams:
            self.streams = streams
            self.stone.streams += 1 if streams else -1

    @abstractmethod
    def granted(self, stone: Stone) -> None:
        """A slot of ``stone`` is this ticket's from now on; called exactly once per slot."""

    def move(self, event: str) -> str:
        """Go on in ``MOVES``; raises ``RuntimeError`` with state and event for an illegal move."""
        try:
            self.state = MOVES[self.state, event]
        except KeyError:
            raise RuntimeError(f"ticket {self.id}: {event} while {self.state}") from None
        return self.state


class Stone:
    """One soulstone: its slots for this gate, and what is in flight."""

    __slots__ = (
        "broken", "count", "failures", "last_active", "last_byte", "limit", "name", "open", "slots",
        "streak", "streams", "tokens", "used",
    )  # fmt: skip

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.open = False
        self.broken = False
        self.failures = 0
        self.slots = 0
        self.used = 0
        self.count: dict[str, int] = dict.fromkeys(CLASSES, 0)
        self.last_active: dict[str, float] = {}
        self.last_byte = 0.0
        self.streams = 0
        self.tokens = 0
        self.streak = Streak()

    def in_use(self) -> InUse:
        """The wire form of what is in flight."""
        count = {klass: n for klass, n in self.count.items() if n}
        tokens = max(0, self.tokens)
        return InUse(count, dict(self.last_active), self.last_byte, tokens, self.streams)


class Desk:
    """Gives slots to tickets: at once where one is free, else in order (W8, W15).

    ``changed`` is called when what is in flight changes, ``signal(ticket, waits)`` when a ticket
    begins or ceases to wait. Everything runs in the gate's loop.
    """

    def __init__(
        self,
        sla: Mapping[str, float],
        changed: Callable[[], None],
        signal: Callable[[Ticket, bool], None],
    ) -> None:
        self.sla = sla
        self.changed = changed
        self.signal = signal
        self.stones: dict[str, Stone] = {}
        self.candidates: dict[str, tuple[Stone, ...]] = {}
        self.wanted: dict[str, tuple[str, ...]] = {}
        self.queues: dict[str, dict[str, dict[str, Ticket]]] = {}
        self.waiting: dict[str, Ticket] = {}
        self.held: dict[str, int] = {}
        """By paused stone, the last admission that may not open it."""

    def configure(self, limits: Mapping[str, int], serving: Mapping[str, tuple[str, ...]]) -> None:
        """Take over a configuration: stones that stay keep what is in flight (G10)."""
        old = self.stones
        self.stones = {name: old.get(name) or Stone(name, limit) for name, limit in limits.items()}
        for name, limit in limits.items():
            self.stones[name].limit = limit
        self.candidates = {
            capability: tuple(self.stones[name] for name in names)
            for capability, names in serving.items()
        }
        wanted: dict[str, list[str]] = {}
        for capability, names in serving.items():
            for name in names:
                wanted.setdefault(name, []).append(capability)
        self.wanted = {name: tuple(capabilities) for name, capabilities in wanted.items()}

    # ── tickets ─────────────────────────────────────────────────────────────────────────────

    def arrive(self, ticket: Ticket, now: float, room: int) -> bool:
        """Serve a new ticket at once if a slot is free (W8), else let it wait while there is room.

        False where ``room`` tickets wait already (G3): nothing has happened then. A free slot has
        nobody waiting for it, so taking it overtakes no one.
        """
        for stone in self.candidates[ticket.capability]:
            if stone.open and stone.used < stone.slots and not stone.broken:
                self._grant(ticket, stone, now)
                return True
        if len(self.waiting) >= room:
            return False
        ticket.move(QUEUE)
        self._enqueue(ticket)
        return True

    def leave(self, ticket: Ticket, now: float) -> bool:
        """The ticket is served, refused or gone, whatever came first; True the first time (G6)."""
        before = ticket.state
        ticket.move(END)
        if before == WAITING:
            self._dequeue(ticket)
        elif before == HOLDING:
            self._release(ticket, now)
        return before != DONE

    def retry(self, ticket: Ticket, now: float) -> bool:
        """Give the slot back and wait again, in the old place by arrival (G4)."""
        before = ticket.state
        if ticket.move(REQUEUE) != WAITING or before != HOLDING:
            return False
        self._enqueue(ticket)
        self._release(ticket, now)
        return True

    def _grant(self, ticket: Ticket, stone: Stone, now: float) -> None:
        ticket.move(GRANT)
        ticket.stone = stone
        ticket.taken = now
        stone.used += 1
        stone.count[ticket.klass] += 1
        stone.last_active[ticket.klass] = now
        stone.tokens += ticket.tokens
        self.changed()
        ticket.granted(stone)

    def _release(self, ticket: Ticket, now: float) -> None:
        stone = ticket.stone
        assert stone is not None
        ticket.stream(False)
        ticket.stone = None
        stone.used -= 1
        stone.count[ticket.klass] -= 1
        stone.last_active[ticket.klass] = now
        stone.tokens -= ticket.tokens
        self.changed()
        if self.waiting:
            self.serve(stone, now)

    def _enqueue(self, ticket: Ticket) -> None:
        self.waiting[ticket.id] = ticket
        classes = self.queues.setdefault(ticket.capability, {})
        queue = classes.setdefault(ticket.klass, {})
        if queue and ticket.arrived < next(reversed(queue.values())).arrived:
            queue[ticket.id] = ticket
            classes[ticket.klass] = dict(sorted(queue.items(), key=lambda item: item[1].arrived))
        else:
            queue[ticket.id] = ticket
        self.signal(ticket, True)

    def _dequeue(self, ticket: Ticket) -> None:
        del self.waiting[ticket.id]
        classes = self.queues[ticket.capability]
        queue = classes[ticket.klass]
        del queue[ticket.id]
        if not queue:
            del classes[ticket.klass]
            if not classes:
                del self.queues[ticket.capability]
        self.signal(ticket, False)

    # ── stones ──────────────────────────────────────────────────────────────────────────────

    def admit(self, open: Mapping[str, int], epoch: int, now: float) -> set[str]:
        """What may be sent where from now on; returns the stones that were closed by it.

        A stone whose pause overtook this admission on the control lane stays closed: only what was
        said after the pause opens it (W20).
        """
        closed: set[str] = set()
        self.held = {name: last for name, last in self.held.items() if epoch <= last}
        for name, stone in self.stones.items():
            opens = name in open and name not in self.held
            if stone.open and not opens:
                closed.add(name)
            if opens and not stone.open:
                stone.broken = False
                stone.streak = Streak()
            stone.open = opens
            stone.slots = min(open[name], stone.limit) if opens else 0
        self.serve_all(now)
        return closed

    def pause(self, names: Iterable[str], admission: int) -> None:
        """Close these stones at once, and for every admission up to that one (W20)."""
        for name in names:
            stone = self.stones.get(name)
            if stone is None:
                continue
            self.held[name] = admission
            stone.open = False
            stone.slots = 0

    def in_flight(self, names: Iterable[str]) -> int:
        """How many tickets hold a slot of these stones."""
        return sum(self.stones[name].used for name in names if name in self.stones)

    def serve_all(self, now: float) -> None:
        """Give every free slot to whoever is next."""
        if self.waiting:
            for stone in self.stones.values():
                self.serve(stone, now)

    def serve(self, stone: Stone, now: float) -> None:
        """Give a stone's free slots to those who wait for it: class first, then arrival (W15)."""
        while self.waiting and stone.open and not stone.broken and stone.used < stone.slots:
            waiting, oldest = self._waiting_for(stone)
            klass = next_class(waiting, stone.streak, now, self.sla)
            if klass is None:
                return
            stone.streak = stone.streak.served(klass, waiting)
            ticket = oldest[klass]
            self._dequeue(ticket)
            self._grant(ticket, stone, now)

    def _waiting_for(self, stone: Stone) -> tuple[dict[str, tuple[int, float]], dict[str, Ticket]]:
        waiting: dict[str, tuple[int, float]] = {}
        oldest: dict[str, Ticket] = {}
        for capability in self.wanted.get(stone.name, ()):
            for klass, queue in self.queues.get(capability, {}).items():
                first = next(iter(queue.values()))
                if klass not in oldest or first.arrived < oldest[klass].arrived:
                    oldest[klass] = first
                waiting[klass] = (
                    waiting.get(klass, (0, 0.0))[0] + len(queue),
                    oldest[klass].arrived,
                )
        return waiting, oldest
