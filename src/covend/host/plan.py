"""What an intent means for the host: whom to stop and whom to start. Pure.

The reactor trusts no decision of the arbiter's that it can check itself: authority, exclusivity,
the lexicon and the declared memory are judged here once more, from the configuration alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from covend.config import Box, Soulstone
from covend.host.intent import Intent, IntentError, StaleIntent
from covend.host.oculus import Reading
from covend.host.units import World, present, spec_hash

REMOVED_SECONDS = 10.0
"""The grace of a soulstone that we started and the configuration no longer knows (G10)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """First all of ``stop`` (name → seconds of grace) are gone, then ``start`` begin (W3)."""

    stop: Mapping[str, float]
    start: tuple[str, ...]


def judge(intent: Intent, world: World, box: Box, now: float, resumed: bool = False) -> Plan:
    """Whether an intent may be carried out now, and what that takes (W22).

    ``now`` is Unix time. ``resumed``: accepted by an earlier reactor, which was interrupted; the
    world is then somewhere between what was expected and what is wanted. A lexicon may go only
    where another command is configured for it than the one it runs (W5, G10). Raises
    ``IntentError``; ``StaleIntent`` where only the world is not as expected.
    """
    if now >= intent.expires:
        raise IntentError(f"expired {now - intent.expires:.1f} s ago")
    target = frozenset(intent.target)
    check_allowed(target | frozenset(intent.kill), box)
    check_exclusive(target, box)
    check_declared(target, box)
    there = present(world)
    if not resumed and intent.expected != there:
        raise StaleIntent(f"the world is not as expected: {_difference(intent.expected, there)}")
    # One that was reborn since the intent was written is not the one that was to be killed.
    kill = {name for name in intent.kill if there.get(name) == intent.expected.get(name)}
    managed = {name: spec for name in there if (spec := _exclusive(box, name)) is not None}
    removed = {name for name in there if box.find_soulstone(name) is None}
    for name, spec in managed.items():
        outdated = world[name].spec_hash != spec_hash(spec)
        if spec.lexicon and name not in target and name not in kill and not outdated:
            raise IntentError(f"{name} is the lexicon: it stays resident, put it in the target")
    stop = {
        name: 0.0 if name in kill else spec.stop_seconds
        for name, spec in managed.items()
        if name not in target or name in kill
    } | dict.fromkeys(removed, REMOVED_SECONDS)
    return Plan(stop, tuple(sorted(target - (there.keys() - stop.keys()))))


def check_allowed(names: Iterable[str], box: Box) -> None:
    """Only soulstones of the configuration that covend owns may be named (W4, W22)."""
    for name in sorted(names):
        spec = box.find_soulstone(name)
        if spec is None:
            raise IntentError(f"{name!r} is not allowed: the configuration has no such soulstone")
        if spec.authority == "shared":
            raise IntentError(f"{name!r} is shared: covend routes to it and never manages it")


def check_exclusive(target: Iterable[str], box: Box) -> None:
    """No two of the target may belong only to covens that exclude each other (W3)."""
    names = [name for name in sorted(target) if not _is_lexicon(box, name)]
    for a, b in itertools.combinations(names, 2):
        if not _compatible(box, a, b):
            raise IntentError(f"{a!r} and {b!r} belong to covens that exclude each other")


def check_declared(target: Iterable[str], box: Box) -> None:
    """What is declared must fit into each configured capacity, whatever is measured (W1)."""
    wanted = frozenset(target)
    for device in box.device:
        if device.capacity is None:
            continue  # as large as the machine: only the oculus can tell
        need = sum(
            spec.memory.get(device.name, 0)
            for spec in box.soulstone
            if spec.authority == "shared" or (spec.name in wanted and not spec.lexicon)
        )
        left = device.capacity - box.reserve_on(device.name)
        if need > left:
            raise IntentError(f"device {device.name}: {need} bytes are needed, {left} can be had")


def shortage(
    names: Iterable[str], world: World, box: Box, readings: Mapping[str, Reading]
) -> str | None:
    """Why these cannot be started now without over-commit; None when they fit (W1).

    Each living soulstone counts with what it declared or uses, whichever is more; the lexicon
    within its reserve. Shared ones are part of what is measured as foreign, and count at least as
    declared.
    """
    counted = {*names, *(name for name, unit in world.items() if unit.alive)}
    for device, reading in readings.items():
        lexical = others = shared = 0
        for spec in box.soulstone:
            declared = spec.memory.get(device, 0)
            if spec.authority == "shared":
                shared += declared
            elif spec.name in counted:
                need = max(declared, reading.soulstones.get(spec.name, 0))
                if spec.lexicon:
                    lexical += need
                else:
                    others += need
        reserve = max(box.reserve_on(device), lexical)
        foreign = max(reading.foreign, shared)
        left = reading.capacity - reserve - foreign - others
        if left < 0:
            return (
                f"device {device}: {-left} bytes short of capacity {reading.capacity} "
                f"(soulstones {others}, lexical reserve {reserve}, others {foreign})"
            )
    return None


def _exclusive(box: Box, name: str) -> Soulstone | None:
    spec = box.find_soulstone(name)
    return spec if spec is not None and spec.authority == "exclusive" else None


def _is_lexicon(box: Box, name: str) -> bool:
    spec = box.find_soulstone(name)
    return spec is not None and spec.lexicon


def _compatible(box: Box, a: str, b: str) -> bool:
    """Whether some coven of a and some coven of b may be resident together."""
    of_a = [coven for coven in box.coven if a in coven.soulstones]
    of_b = [coven for coven in box.coven if b in coven.soulstones]
    if not of_a or not of_b:
        return not _devices(box, a) & _devices(box, b)
    return any(
        one.name == two.name
        or one.name in two.coexists
        or two.name in one.coexists
        or not set(one.devices) & set(two.devices)
        for one in of_a
        for two in of_b
    )


def _devices(box: Box, name: str) -> set[str]:
    spec = box.find_soulstone(name)
    return set(spec.memory) if spec is not None else set()


def _difference(expected: Mapping[str, int], there: Mapping[str, int]) -> str:
    told = [
        f"{name} should be pid {expected.get(name)} and is {there.get(name)}"
        for name in sorted(expected.keys() | there.keys())
        if expected.get(name) != there.get(name)
    ]
    return "; ".join(told)
