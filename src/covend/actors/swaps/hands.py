"""What the arbiter does to the world: intents, actors of covens, orders to the dispatcher.

Kept apart from the arbiter so that it reads as decisions only. Runs in the arbiter's thread.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covend.actors.messages import Alert, Reopen
from covend.actors.swaps.coven import CovenActor, SoftStopCoven
from covend.actors.swaps.passage import World
from covend.actors.swaps.soulstone import Look, SoulstoneActor
from covend.actors.swaps.watchdog import WatchdogActor
from covend.config import Box, Soulstone, Watchdog
from covend.host.folders import Folders
from covend.host.intent import new_intent, withdraw, write_intent
from covend.host.units import observe, present
from covend.protocol import IntentPosted, ReloadConfig
from covend.runtime.actor import Context
from covend.supervisors import (
    ChildInfo,
    ChildSpec,
    FindChild,
    StartMember,
    Supervisor,
    SupervisorSpec,
    TerminateChild,
)

if TYPE_CHECKING:
    from covend.actors.swaps.arbiter import Arbiter

Watched = tuple[Soulstone, Watchdog, float]
"""What the actors of a soulstone go by: itself, the watchdog's limits, how long it may load."""

COVENS = "covens"
REACTOR = "reactor@reactor"
START_SECONDS = 10.0


class BoxHands:
    """Implements ``covend.actors.swaps.passage.Hands`` on the real box."""

    def __init__(self, ctx: Context, box: Box, folders: Folders, arbiter: Arbiter) -> None:
        self.ctx = ctx
        self.box = box
        self.folders = folders
        self.arbiter = arbiter
        self.key = folders.key()
        self.boot = time.time_ns() // 1_000_000
        self.intents = 0
        self.seen: dict[str, int] = {}
        self.pids: dict[str, int] = {}
        self.running: dict[str, str] = {}
        self.trees: dict[str, frozenset[str]] = {}
        self.watched: dict[str, Watched] = {}
        self.configure(box)

    def configure(self, box: Box) -> None:
        """Take up a configuration; only actors of what changed in it are started again (G10)."""
        self.box = box
        self.specs = {stone.name: stone for stone in box.soulstone}
        for name in sorted(self.watched):
            if name not in self.specs:
                self.stop_stone(name)
            elif self.watched[name] != self.to_watch(name):
                self.start_stone(name)

    def to_watch(self, name: str) -> Watched:
        return self.specs[name], self.box.watchdog, self.box.transition.awaken

    def tell_reactor(self, source: str) -> None:
        """The configuration is in force: it may start by it what the next intent names (G10)."""
        self.ctx.tell(self.ctx.system.address(REACTOR), ReloadConfig(path=source))

    def first_epoch(self) -> int:
        """Drain epochs grow over restarts of the core, so that a stale confirm is seen as such."""
        return self.boot

    def observe(self) -> World:
        """Read the unit records; only processes that live count (W25)."""
        units = observe(self.folders.units)
        self.seen = present(units)
        self.pids = {name: unit.pid for name, unit in units.items() if unit.alive}
        self.running = {name: unit.spec_hash for name, unit in units.items() if unit.alive}
        return World(dict(self.pids))

    def write_intent(self, target: frozenset[str], reset: frozenset[str]) -> str:
        """Write one intent and hint the reactor (W22). ``reset`` is killed and started (W26)."""
        self.observe()
        self.intents += 1
        name = f"i-{self.boot:x}-{self.intents}"
        seconds = self.box.reactor.intent_seconds
        write_intent(
            self.folders.intents, new_intent(name, self.seen, target, seconds, reset), self.key
        )
        self.ctx.tell(self.ctx.system.address(REACTOR), IntentPosted(id=name))
        return name

    def withdraw(self) -> bool:
        """Take back intents that the reactor has not begun; True when it has none in hand."""
        return withdraw(self.folders.intents)

    def soft_stop(self, coven: str, epoch: int, stones: tuple[str, ...], deadline: float) -> None:
        self.start(f"tree/{coven}", coven_tree(coven))  # a refit's is not there yet
        self.ctx.tell(f"coven/{coven}", SoftStopCoven(epoch, stones, deadline))

    def reopen_coven(self, coven: str, epoch: int) -> None:
        self.ctx.tell(f"coven/{coven}", Reopen(epoch))

    def push_admission(self) -> None:
        self.arbiter.push_admission()

    def alert(self, text: str, data: dict[str, object]) -> None:
        self.ctx.tell("console", Alert(text, dict(data)))

    def refusal(self, stones: frozenset[str], gone: frozenset[str]) -> str | None:
        """Check the budget against a reading made now, those that leave left out (W1)."""
        problem = self.arbiter.measure()
        if problem:
            return f"memory cannot be measured: {problem}"
        return self.arbiter.residency.ledger.refusal(stones, without=gone)

    # ── actors of covens ────────────────────────────────────────────────────────────────────

    def start_tree(self, coven: str) -> None:
        """Start a coven's actor and its soulstones' trees; those that are there look again."""
        stones = self.arbiter.residency.managed(coven)
        self.trees[coven] = stones
        self.start(f"tree/{coven}", coven_tree(coven))
        for name in sorted(stones):
            self.start_stone(name)

    def start_always(self) -> None:
        """The trees of lexicons and shared soulstones stand as long as the arbiter does."""
        for name, spec in self.specs.items():
            if spec.lexicon or spec.authority == "shared":
                self.start_stone(name)

    def start_stone(self, name: str) -> None:
        """Start the actors of one soulstone; those that go by the same settings look again."""
        watched = self.to_watch(name)
        if self.watched.get(name, watched) != watched:
            self.stop_stone(name)
        self.watched[name] = watched
        children = stone_children(*watched, self.folders.units)
        self.start(f"stone/{name}", SupervisorSpec(f"stone/{name}", "rest_for_one", children))
        self.ctx.tell(f"soulstone/{name}", Look())

    def stop_stone(self, name: str) -> None:
        self.watched.pop(name, None)
        self.stop(f"stone/{name}")

    def stop_tree(self, coven: str) -> None:
        """Stop a coven's actors, but for soulstones that another coven still has."""
        stones = self.trees.pop(coven, frozenset())
        kept = frozenset[str]().union(*self.trees.values())
        for name in sorted(stones - kept):
            self.stop_stone(name)
        self.stop(f"tree/{coven}")

    def look_again(self) -> None:
        """Have every soulstone's actor look for its process."""
        for name in {stone for stones in self.trees.values() for stone in stones} | {
            name for name, spec in self.specs.items() if spec.lexicon
        }:
            self.ctx.tell(f"soulstone/{name}", Look())

    def start(self, child: str, spec: SupervisorSpec) -> None:
        if self.find(child) is None:
            self.ctx.ask(COVENS, StartMember(id=child, args=(spec,)), timeout=START_SECONDS)

    def stop(self, child: str) -> None:
        if self.find(child) is not None:
            self.ctx.ask(COVENS, TerminateChild(id=child), timeout=START_SECONDS)

    def find(self, child: str) -> ChildInfo | None:
        return self.ctx.ask(COVENS, FindChild(id=child), timeout=START_SECONDS)


def coven_tree(coven: str) -> SupervisorSpec:
    """One coven's own actor, restarted where it fails."""
    name = f"coven/{coven}"
    return SupervisorSpec(f"tree/{coven}", "one_for_one", [ChildSpec(name, (CovenActor, (coven,)))])


def stone_children(
    spec: Soulstone, limits: Watchdog, awaken: float, units: Path
) -> list[ChildSpec]:
    """A soulstone's actor, and its watchdog where covend may manage it (W4, W26)."""
    name = spec.name
    arguments: tuple[Any, ...] = (spec, limits, awaken, units)
    children = [ChildSpec(f"soulstone/{name}", (SoulstoneActor, arguments))]
    if spec.authority == "exclusive":
        children.append(ChildSpec(f"watchdog/{name}", (WatchdogActor, (spec, limits))))
    return children


COVENS_TEMPLATE = ChildSpec("covens", (Supervisor, ()), kind="supervisor")
"""Every child of the dynamic supervisor ``covens`` is a small supervisor of its own."""
