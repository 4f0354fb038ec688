"""One transition on its way: carries out what the table of phases asks for (W19–W24).

The table (``covend.will.transition``) says which event leads where; this object is its hands. It
runs in the arbiter's thread, owns nothing but the transition, and changes residency only through
the arbiter's own state. A *revival* is a transition whose target is already open and has lost a
member: nothing is evicted, and only the dead member is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from covend.actors.swaps.residency import Residency
from covend.will import transition as table
from covend.will.transition import Limits, Transition


@dataclass(frozen=True, slots=True)
class World:
    """What one look at the host showed: the exclusive soulstones alive, with their pids."""

    alive: dict[str, int]


class Hands(Protocol):
    """What a passage may do to the world; the arbiter implements it."""

    def observe(self) -> World:
        """Read the unit records and check the processes (W25)."""
        ...

    def write_intent(self, target: frozenset[str], reset: frozenset[str]) -> str:
        """Write one intent file and hint the reactor; returns the intent's id (W22)."""
        ...

    def withdraw(self) -> bool:
        """Take back intents that the reactor has not begun; True when it has none in hand."""
        ...

    def soft_stop(self, coven: str, epoch: int, stones: tuple[str, ...], deadline: float) -> None:
        """SIG_SOFT_STOP to a coven's actor (S17)."""
        ...

    def stop_stone(self, name: str) -> None:
        """Stop the actors of one soulstone."""
        ...

    def reopen_coven(self, coven: str, epoch: int) -> None:
        """The drain of this epoch is off."""
        ...

    def push_admission(self) -> None:
        """Tell the dispatcher what is open now."""
        ...

    def start_tree(self, coven: str) -> None:
        """Start (or keep) the actors of a coven and have them look at the world."""
        ...

    def stop_tree(self, coven: str) -> None:
        """Stop the actors of a coven."""
        ...

    def alert(self, text: str, data: dict[str, object]) -> None:
        """Tell the operator (W27)."""
        ...

    def refusal(self, stones: frozenset[str], gone: frozenset[str]) -> str | None:
        """Why these do not fit by a measurement made now, or ``None`` (W1)."""
        ...


MAX_REPLANS = 5
"""So often one transition may find that the world moved on before its intent was read."""
REPLANNED = frozenset({table.SIGNALLED, table.TRANSMUTING, table.RESTORING})


@dataclass(slots=True)
class Passage:
    """The transition under way, with what its effects need to remember."""

    move: Transition
    limits: Limits
    epoch: int
    residency: Residency
    hands: Hands
    always: frozenset[str]
    now: Callable[[], float]
    reset: frozenset[str] = frozenset()
    revival: frozenset[str] = frozenset()
    forced: bool = False
    draining: set[str] = field(default_factory=set[str])
    boundaries: dict[str, int] = field(default_factory=dict[str, int])
    left: frozenset[str] = frozenset()
    before: dict[str, int] = field(default_factory=dict[str, int])
    opened_before: dict[str, float] = field(default_factory=dict[str, float])
    intent: str | None = None
    goal: frozenset[str] = frozenset()
    failure: str = ""
    outcome: str = ""
    replans: int = 0

    # ── who is who ──────────────────────────────────────────────────────────────────────────

    @property
    def target_stones(self) -> frozenset[str]:
        return self.residency.managed(self.move.target)

    @property
    def staying(self) -> frozenset[str]:
        """Soulstones of open covens that this transition does not touch."""
        gone = {*self.move.evict, self.move.target}
        names = (self.residency.managed(c) for c in self.residency.open if c not in gone)
        return frozenset[str]().union(*names)

    @property
    def leaving(self) -> frozenset[str]:
        """Soulstones that are stopped: of evicted covens, and in no other that is wanted."""
        evicted = (self.residency.managed(coven) for coven in self.move.evict)
        return frozenset[str]().union(*evicted) - self.target_stones - self.staying

    @property
    def previous(self) -> frozenset[str]:
        """What is restored when the attempt fails (W24)."""
        if self.revival:
            return self.target_stones - self.revival
        return frozenset[str]().union(*(self.residency.managed(c) for c in self.move.evict))

    def world(self, members: Iterable[str]) -> frozenset[str]:
        """The whole target world for an intent: members, what stays, and what always is (W5)."""
        return frozenset(members) | self.staying | self.always

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def feed(self, event: str, why: str = "") -> bool:
        """Take one event in and carry out its effects; a hint that means nothing now is dropped."""
        if not self.move.knows(event):
            return False
        if why:
            self.failure = why
        self.move, effects = table.move(self.move, event, self.now(), self.limits)
        for effect in effects:
            getattr(self, f"do_{effect}")()
        return True

    def drained(self, coven: str, epoch: int, boundaries: dict[str, int]) -> bool:
        """A coven confirmed; true once all have (W20)."""
        if epoch != self.epoch or coven not in self.draining:
            return False
        self.draining.discard(coven)
        self.boundaries.update(boundaries)
        return not self.draining

    def look(self, world: World, ready: frozenset[str]) -> None:
        """Fold what the host shows into the phase it is in."""
        alive = world.alive
        match self.move.phase:
            case table.SIGNALLED | table.TRANSMUTING:
                self.look_for_start(alive)
            case table.AWAKENING:
                missing = self.target_stones - alive.keys()
                if missing:
                    self.feed("died", f"{', '.join(sorted(missing))} ended while loading")
            case table.COMPENSATING if self.hands.withdraw():
                seen = table.observe(self.target_stones, self.previous, alive.keys(), ready)
                self.feed(seen)
            case table.RESTORING if self.previous <= alive.keys() & ready:
                self.feed("restored")
            case _:
                pass

    def look_for_start(self, alive: dict[str, int]) -> None:
        gone = not (self.leaving & alive.keys())
        started = all(
            name in alive and (name not in self.reset or alive[name] != self.before.get(name))
            for name in self.target_stones
        )
        if gone and started:
            self.feed("started")
        elif alive != self.before:
            self.feed("taken")

    def replan(self) -> bool:
        """The world was another one than the intent expected, and nothing was done for it: ask for
        the same again from what the world is now, at no attempt's cost (W21, W22).

        False where that was done ``MAX_REPLANS`` times already.
        """
        if self.replans >= MAX_REPLANS or self.move.phase not in REPLANNED:
            return False
        self.replans += 1
        self.before = dict(self.hands.observe().alive)
        self.intent = self.hands.write_intent(self.goal, self.reset)
        return True

    # ── effects, by the names of the table ──────────────────────────────────────────────────

    def do_close_admission(self) -> None:
        """Close what is affected before anything is drained (W20)."""
        self.residency.closed |= self.leaving | self.revival
        self.hands.push_admission()
        self.feed("paused")

    def do_soft_stop(self) -> None:
        """Drain every coven that leaves; nothing to drain is drained at once (W20)."""
        deadline = self.move.deadline or self.now()
        for coven in self.move.evict:
            stones = self.residency.managed(coven) & self.leaving
            if stones:
                self.draining.add(coven)
                self.hands.soft_stop(coven, self.epoch, tuple(sorted(stones)), deadline)

    def do_write_intent(self) -> None:
        """From here on the evicted are not resident; what is measured must leave room (W1, W22)."""
        short = self.hands.refusal(self.target_stones, self.leaving)
        if short is not None:
            self.feed("refused", short)
            return
        self.before = dict(self.hands.observe().alive)
        self.left = self.leaving
        for coven in self.move.evict:
            self.opened_before[coven] = self.residency.shut(coven, self.now())
            self.hands.stop_tree(coven)
        self.residency.ready -= self.leaving | self.revival
        self.residency.ledger.hold(self.target_stones)
        self.goal = self.world(self.target_stones)
        self.intent = self.hands.write_intent(self.goal, self.reset)

    def do_await_ready(self) -> None:
        self.hands.start_tree(self.move.target)

    def do_open_target(self) -> None:
        self.residency.closed -= self.target_stones
        self.residency.open.setdefault(self.move.target, self.now())
        self.hands.push_admission()

    def do_reopen(self) -> None:
        """The previous covens serve on (W21, W24)."""
        for coven in self.move.evict:
            self.hands.reopen_coven(coven, self.epoch)
            if coven in self.opened_before:
                self.residency.open[coven] = self.opened_before[coven]
                self.hands.start_tree(coven)
        self.residency.closed -= self.previous
        self.hands.push_admission()

    def do_observe(self) -> None:
        world = self.hands.observe()
        self.look(world, frozenset(self.residency.ready & world.alive.keys()))

    def do_write_restore(self) -> None:
        """Undo: the target goes, what was there before comes back (W24)."""
        self.hands.stop_tree(self.move.target)
        self.residency.ready -= self.target_stones - self.previous
        self.goal = self.world(self.previous)
        self.intent = self.hands.write_intent(self.goal, frozenset())
        for coven in self.move.evict:
            self.hands.start_tree(coven)
        if not self.previous:
            self.residency.shut(self.move.target, self.now())
            self.feed("restored")

    def do_settle(self) -> None:
        """Open what is whole, ready and not about to be stopped, leave the rest closed."""
        safe = None if self.hands.withdraw() else self.goal
        alive = self.hands.observe().alive
        for coven in (*self.move.evict, self.move.target):
            stones = self.residency.managed(coven)
            whole = stones and stones <= alive.keys() & self.residency.ready
            if whole and (safe is None or stones <= safe):
                self.residency.closed -= stones
                self.residency.open.setdefault(coven, self.now())
            else:
                self.residency.shut(coven, self.now())
        self.hands.push_admission()

    def do_count_failure(self) -> None:
        self.outcome = "failed"

    def do_defer(self) -> None:
        self.outcome = "late drain"

    def do_alert(self) -> None:
        self.hands.alert(
            f"transition {self.move.id} to {self.move.target} failed: {self.failure or 'late'}",
            {
                "transition": self.move.id,
                "target": self.move.target,
                "history": [(m.event, m.phase, m.at) for m in self.move.history],
            },
        )
