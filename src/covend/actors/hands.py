"""What the arbiter does to the world: intents, actors of covens, orders to the dispatcher.

Kept apart from the arbiter so that it reads as decisions only. Runs in the arbiter's thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from covend.actors.coven import CovenActor, SoftStopCoven
from covend.actors.messages import Alert, Reopen
from covend.actors.passage import World
from covend.actors.soulstone import Look, SoulstoneActor
from covend.actors.watchdog import WatchdogActor
from covend.config import Box, Soulstone
from covend.host.folders import Folders
from covend.host.intent import new_intent, write_intent
from covend.host.units import observe, present
from covend.protocol import IntentPosted
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
    from covend.actors.arbiter import Arbiter

COVENS = "covens"
START_SECONDS = 10.0


class BoxHands:
    """Implements ``covend.actors.passage.Hands`` on the real box."""

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
        self.trees: dict[str, frozenset[str]] = {}
        self.configure(box)

    def configure(self, box: Box) -> None:
        """Take up a new configuration."""
        self.box = box
        self.specs = {stone.name: stone for stone in box.soulstone}

    def first_epoch(self) -> int:
        """Drain epochs grow over restarts of the core, so that a stale confirm is seen as such."""
        return self.boot

    def observe(self) -> World:
        """Read the unit records; only processes that live count (W25)."""
        units = observe(self.folders.units)
        self.seen = present(units)
        self.pids = {name: unit.pid for name, unit in units.items() if unit.alive}
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
        self.ctx.tell(self.ctx.system.address("reactor@reactor"), IntentPosted(id=name))
        return name

    def soft_stop(self, coven: str, epoch: int, stones: tuple[str, ...], deadline: float) -> None:
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
        spec = self.specs[name]
        self.start(
            f"stone/{name}",
            SupervisorSpec(
                f"stone/{name}",
                "rest_for_one",
                stone_children(spec, self.box, self.folders),
            ),
        )
        self.ctx.tell(f"soulstone/{name}", Look())

    def stop_tree(self, coven: str) -> None:
        """Stop a coven's actors, but for soulstones that another coven still has."""
        stones = self.trees.pop(coven, frozenset())
        kept = frozenset[str]().union(*self.trees.values())
        for name in sorted(stones - kept):
            self.stop(f"stone/{name}")
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


def stone_children(spec: Soulstone, box: Box, folders: Folders) -> list[ChildSpec]:
    """A soulstone's actor, and its watchdog where covend may manage it (W4, W26)."""
    name = spec.name
    arguments: tuple[Any, ...] = (spec, box.watchdog, folders.units)
    children = [ChildSpec(f"soulstone/{name}", (SoulstoneActor, arguments))]
    if spec.authority == "exclusive":
        children.append(ChildSpec(f"watchdog/{name}", (WatchdogActor, (spec, box.watchdog))))
    return children


COVENS_TEMPLATE = ChildSpec("covens", (Supervisor, ()), kind="supervisor")
"""Every child of the dynamic supervisor ``covens`` is a small supervisor of its own."""
