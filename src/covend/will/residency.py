"""What fits where: the memory ledger, who must go for whom, and the exact planner of tiers.

The ledger believes a declaration until the oculus has measured, keeps the measured peak, and
counts memory as taken until the oculus shows that it is free. Sizes are bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping

import msgspec

from covend.will.model import Model
from covend.will.state import Memory


class Reading(msgspec.Struct, frozen=True):
    """What the oculus saw on one device: capacity, use per soulstone, use by everybody else."""

    device: str
    capacity: int
    soulstones: dict[str, int]
    foreign: int = 0


class Ledger:
    """Mutable owner of what is promised and measured per device (W1, W2). One thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._peak: dict[tuple[str, str], int] = {}
        self._held: dict[str, set[str]] = {name: set() for name in model.devices}
        self._readings: dict[str, Reading] = {}
        self._view: Memory | None = None

    def observe(self, reading: Reading) -> None:
        """Take in a reading: peaks grow, and what was stopped and is gone is released (W2)."""
        self._readings[reading.device] = reading
        for soulstone, used in reading.soulstones.items():
            key = (soulstone, reading.device)
            if used > self._peak.get(key, 0):
                self._peak[key] = used
        self._view = None

    def hold(self, soulstones: Iterable[str]) -> None:
        """These are being started, or were found resident: their need is taken from now on."""
        for name in soulstones:
            for device in self._model.soulstones[name].memory:
                self._held[device].add(name)

    def release(self, soulstone: str) -> bool:
        """A stopped soulstone gives its memory back, once the oculus shows it free (W2).

        False while any device still shows memory used by it: ask again after the next reading.
        """
        devices = self._model.soulstones[soulstone].memory
        for device in devices:
            reading = self._readings.get(device)
            if reading is not None and reading.soulstones.get(soulstone, 0) > 0:
                return False
        for device in devices:
            self._held[device].discard(soulstone)
        return True

    def need(self, soulstone: str) -> dict[str, int]:
        """What it takes per device: the measured peak once there is one, else as declared (W2)."""
        declared = self._model.soulstones[soulstone].memory
        return {d: self._peak.get((soulstone, d), size) for d, size in declared.items()}

    def memory(self) -> Memory:
        """The budgets and needs a decision is made from; one object until a reading changes."""
        if self._view is None:
            view = Memory(
                budget={name: self._budget(name) for name in self._model.devices},
                need={name: self.need(name) for name in self._model.soulstones},
            )
            self._view = view
        return self._view

    def _budget(self, device: str) -> int:
        """Capacity less the lexical reserve, strangers' memory and shared soulstones (W1, W5)."""
        reading = self._readings.get(device)
        capacity = reading.capacity if reading else self._model.devices[device].capacity
        foreign = reading.foreign if reading else 0
        lexicons = shared = 0
        for stone in self._model.soulstones.values():
            need = self.need(stone.name).get(device, 0)
            if stone.lexicon:
                lexicons += need
            elif stone.authority == "shared":
                shared += need
        reserve = max(self._model.rules.lexical_reserve, lexicons) if lexicons else 0
        return capacity - reserve - foreign - shared

    def refusal(self, soulstones: Collection[str], without: Collection[str] = ()) -> str | None:
        """Why these may not be started now, or None where they fit (W1).

        ``without`` are those that will be gone by then. Checked against the ledger (all that is
        held plus these) and against the measured reading (what is really in use plus these),
        whichever is worse: a driver may release late.
        """
        memory = self.memory()
        for device, budget in memory.budget.items():
            asked = sum(memory.need[name].get(device, 0) for name in soulstones)
            if not asked:
                continue
            reading = self._readings.get(device)
            used: dict[str, int] = dict(reading.soulstones) if reading else {}
            others = (self._held[device] | used.keys()) - set(soulstones) - set(without)
            taken = sum(
                max(used.get(n, 0), memory.need[n].get(device, 0) if n in self._held[device] else 0)
                for n in others
                if n in self._model.soulstones and self._is_managed(n)
            )
            if taken + asked > budget:
                return (
                    f"device {device}: {_mib(asked)} asked, {_mib(taken)} of "
                    f"{_mib(budget)} taken by {', '.join(sorted(others)) or 'nobody'}"
                )
        return None

    def _is_managed(self, soulstone: str) -> bool:
        stone = self._model.soulstones[soulstone]
        return stone.authority == "exclusive" and not stone.lexicon


def managed(model: Model, coven: str) -> frozenset[str]:
    """The soulstones of a coven that covend may start and stop: no shared one, no lexicon (W4)."""
    return frozenset(
        name
        for name in model.covens[coven].soulstones
        if model.soulstones[name].authority == "exclusive" and not model.soulstones[name].lexicon
    )


def overflow(model: Model, memory: Memory, covens: Collection[str]) -> str | None:
    """Why these covens cannot be resident together, or None where memory suffices (W1).

    A soulstone in two covens counts once.
    """
    stones = frozenset[str]().union(*(managed(model, name) for name in covens))
    for device, budget in memory.budget.items():
        asked = sum(memory.need[name].get(device, 0) for name in stones)
        if asked > budget:
            return f"device {device}: needs {_mib(asked)} of {_mib(budget)}"
    return None


def compatible(model: Model, covens: Collection[str]) -> bool:
    """Whether no two of these exclude each other (W3)."""
    chosen = set(covens)
    return not any(model.covens[name].conflicts & chosen for name in chosen)


def evictions(
    model: Model, memory: Memory, resident: Collection[str], target: str
) -> tuple[str, ...] | str:
    """Who must go so that ``target`` can be resident, or why it cannot be at all (W1, W3).

    Those in conflict must go; where memory is still short, the fewest others, the cheapest to load
    again first.
    """
    alone = overflow(model, memory, (target,))
    if alone is not None:
        return alone
    must = [name for name in resident if name in model.covens[target].conflicts]
    others = sorted(
        (n for n in resident if n not in must and n != target),
        key=lambda n: (model.covens[n].load_prior, n),
    )
    for size in range(len(others) + 1):
        for gone in itertools.combinations(others, size):
            stay = [name for name in others if name not in gone]
            if overflow(model, memory, (target, *stay)) is None:
                return tuple(sorted((*must, *gone)))
    return f"{target} does not fit beside nothing"


class Plan(msgspec.Struct, frozen=True):
    """A residency set with what it achieves: demand served, and the tiers that serve it."""

    covens: tuple[str, ...]
    served: float
    tiers: tuple[int, ...]


def plan(
    model: Model,
    memory: Memory,
    wanted: Mapping[str, float],
    resident: Collection[str] = (),
    barred: Collection[str] = (),
) -> Plan:
    """The residency set that serves the most demand and, among equals, at the best tiers (W6).

    ``wanted`` maps a capability to its weight of demand. Exact, by a search that only extends sets
    that fit together: up to 16 soulstones take at most a few thousand steps. Further ties go to
    the set that keeps most of what is resident, then to fewer covens, then to the names.
    """
    here = set(resident)
    useful = sorted(
        name
        for name, facts in model.covens.items()
        if name not in barred and any(c in facts.server for c in wanted)
    )
    best: tuple[tuple[object, ...], Plan] | None = None

    def consider(chosen: tuple[str, ...]) -> None:
        nonlocal best
        tiers: dict[str, int] = {}
        for name in chosen:
            for capability, tier in model.covens[name].tier.items():
                if capability in wanted:
                    tiers[capability] = min(tier, tiers.get(capability, tier))
        served = sum(wanted[c] for c in tiers)
        ranks = tuple(sorted(tiers.values()))
        rank = (-served, sum(ranks), ranks, -len(here & set(chosen)), len(chosen), chosen)
        if best is None or rank < best[0]:
            best = rank, Plan(chosen, served, ranks)

    def extend(chosen: tuple[str, ...], start: int) -> None:
        consider(chosen)
        for index in range(start, len(useful)):
            name = useful[index]
            more = (*chosen, name)
            if compatible(model, more) and overflow(model, memory, more) is None:
                extend(more, index + 1)

    extend((), 0)
    assert best is not None
    return best[1]


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
