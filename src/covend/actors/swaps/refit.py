"""What a new configuration takes away: drained under the old one, then stopped (G10).

A refit is a transition whose target is the configuration: it goes through the same table of phases
as a swap, and nothing has to wake up at its end. What has changed and is still wanted is missing
from the world then, and is started again with its new command as after a death (W26).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from covend.actors.swaps.passage import Passage
from covend.config import Box
from covend.host.units import spec_hash
from covend.will.model import Model
from covend.will.residency import managed

REFIT = "(configuration)"
"""Stands for the target in records and events, and names the actor that drains: no coven can be
called that."""


def kept(model: Model, resident: Iterable[str]) -> tuple[str, ...]:
    """Of the open covens, those that the configuration still has and still lets coexist (W3)."""
    chosen: list[str] = []
    for name in resident:
        if name in model.covens and not model.covens[name].conflicts & set(chosen):
            chosen.append(name)
    return tuple(chosen)


def unwanted(model: Model, resident: Iterable[str], alive: Iterable[str]) -> frozenset[str]:
    """Of what lives: the soulstones that belong to nothing resident under this configuration."""
    stay = frozenset[str]().union(*(managed(model, coven) for coven in kept(model, resident)))
    stones = model.soulstones
    return frozenset(
        name
        for name in alive
        if name not in stones
        or (name not in stay and stones[name].authority == "exclusive" and not stones[name].lexicon)
    )


def outdated(box: Box, running: Mapping[str, str]) -> frozenset[str]:
    """Of what runs (name → hash of its specification): whoever would be started otherwise now."""
    return frozenset(
        stone.name
        for stone in box.soulstone
        if stone.authority == "exclusive"
        and running.get(stone.name, spec_hash(stone)) != spec_hash(stone)
    )


@dataclass(slots=True)
class Refit(Passage):
    """Drains ``outgoing``, has ``take_up`` put the configuration in force, and has them stopped.

    ``take_up`` answers which soulstones are always resident from then on (W5).
    """

    outgoing: frozenset[str] = frozenset()
    take_up: Callable[[], frozenset[str]] = field(default=frozenset[str])

    @property
    def target_stones(self) -> frozenset[str]:
        """Nothing is started."""
        return frozenset()

    @property
    def leaving(self) -> frozenset[str]:
        return self.outgoing

    @property
    def previous(self) -> frozenset[str]:
        return self.outgoing

    @property
    def staying(self) -> frozenset[str]:
        return frozenset(self.before) - self.outgoing

    def do_soft_stop(self) -> None:
        """One drain for all of them: a lexicon has no coven to hear it (W20)."""
        deadline = self.move.deadline or self.now()
        self.draining.add(REFIT)
        self.hands.soft_stop(REFIT, self.epoch, tuple(sorted(self.outgoing)), deadline)

    def do_write_intent(self) -> None:
        """Nothing is in flight on them: the new configuration is in force from here on (G10)."""
        self.before = dict(self.hands.observe().alive)
        self.left = self.outgoing
        for name in sorted(self.outgoing):
            self.hands.stop_stone(name)
        self.always = self.take_up()
        self.residency.ready -= self.outgoing
        self.goal = self.world(())
        self.intent = self.hands.write_intent(self.goal, self.reset)

    def do_await_ready(self) -> None:
        """They are gone; there is nothing to wait for."""

    def do_open_target(self) -> None:
        self.residency.closed -= self.outgoing
        self.hands.push_admission()

    def do_reopen(self) -> None:
        """They serve on until it is tried again (W24)."""
        self.hands.reopen_coven(REFIT, self.epoch)
        self.residency.closed -= self.outgoing
        self.hands.push_admission()

    def do_write_restore(self) -> None:
        """What would not go is not started anew; the next try finds out what is left."""
        self.feed("restored")
