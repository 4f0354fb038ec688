"""What a box consists of, as the deciders see it: devices, soulstones, covens, roles and rules.

Plain frozen structs, given once; ``Model`` derives from them what every decision needs: which
coven serves which capability, and which covens exclude each other. Sizes are bytes, times seconds.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping

import msgspec

CLASSES = ("reflex", "ritual", "ingest", "swarm")
"""The priority classes, highest first (W7)."""

NEVER = -1e18
"""A time before every other: never happened."""


class Device(msgspec.Struct, frozen=True):
    """An accelerator, or ``host`` whose memory is RAM."""

    name: str
    capacity: int


class Soulstone(msgspec.Struct, frozen=True):
    """One model server: what it serves, what it needs, what it is expected to take."""

    name: str
    memory: dict[str, int]
    serves: tuple[str, ...] = ()
    authority: str = "exclusive"
    discipline: str = "titan"
    slots: int = 1
    lexicon: bool = False
    load_seconds: float = 10.0
    service_seconds: float = 1.0
    prefill_rate: float = 1000.0


class Coven(msgspec.Struct, frozen=True):
    """Soulstones resident together on a set of devices."""

    name: str
    soulstones: tuple[str, ...]
    devices: tuple[str, ...]
    coexists: tuple[str, ...] = ()
    inertia: float | None = None


class Role(msgspec.Struct, frozen=True):
    """A capability served by any of several soulstones, best first (W6)."""

    name: str
    tiers: tuple[str, ...]


class Rules(msgspec.Struct, frozen=True):
    """The numbers of the whim; every default is the one of the rule that names it."""

    kappa: float = 8.0
    kappa_dominant: float = 0.5
    kappa_dominant_max: float = 4.0
    budget_low: float = 0.20
    budget_high: float = 0.35
    budget_window: float = 300.0
    think: float = 0.5
    linger: float = 30.0
    lower_factor: float = 4.0
    weights: dict[str, float] = msgspec.field(
        default_factory=lambda: {"reflex": 4.0, "ritual": 1.0, "ingest": 1.0, "swarm": 0.25}
    )
    inertia: dict[str, float] = msgspec.field(
        default_factory=lambda: {"titan": 2.0, "kinetic": 5.0, "weaver": 15.0}
    )
    sla: dict[str, float] = msgspec.field(
        default_factory=lambda: {"reflex": 10.0, "ritual": 60.0, "ingest": 900.0, "swarm": 300.0}
    )
    ingest_window_weight: float = 2.0
    ingest_max_wait: float = 900.0
    tier_up_seconds: float = 60.0
    lexical_reserve: int = 3 * 2**29


class CovenFacts(msgspec.Struct, frozen=True):
    """What follows from the declarations about one coven."""

    name: str
    soulstones: frozenset[str]
    devices: frozenset[str]
    conflicts: frozenset[str]
    server: dict[str, str]
    tier: dict[str, int]
    inertia: float
    load_prior: float
    prefill_rate: float


class Model:
    """A box's static facts, derived once; shared by all deciders and never changed.

    Raises ``ValueError`` for a coven or role that names what does not exist.
    """

    def __init__(
        self,
        devices: Iterable[Device],
        soulstones: Iterable[Soulstone],
        covens: Iterable[Coven],
        roles: Iterable[Role] = (),
        rules: Rules | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self.devices = {d.name: d for d in devices}
        self.soulstones = {s.name: s for s in soulstones}
        self.roles = {r.name: r for r in roles}
        declared = {c.name: c for c in covens}
        for coven in declared.values():
            self._must_exist(f"coven {coven.name!r}", "soulstone", coven.soulstones)
        for role in self.roles.values():
            self._must_exist(f"role {role.name!r}", "soulstone", role.tiers)
        self.always = frozenset(
            capability
            for s in self.soulstones.values()
            if s.authority == "shared" or s.lexicon
            for capability, _ in self._capabilities(s.name)
        )
        """What shared soulstones and lexicons serve: always routable, never evicted (W4, W5)."""
        conflicts = conflict_graph(declared)
        self.covens = {
            name: self._facts(coven, conflicts[name]) for name, coven in declared.items()
        }
        self.serving: dict[str, tuple[str, ...]] = {}
        for facts in self.covens.values():
            for capability in facts.server:
                self.serving[capability] = (*self.serving.get(capability, ()), facts.name)
        self.contested = frozenset(c for c, names in self.serving.items() if len(names) > 1)

    def slots(self, coven: str, capability: str) -> int:
        """How many requests for this capability the coven runs at once (titan: one)."""
        return self._width(self.soulstones[self.covens[coven].server[capability]])

    @staticmethod
    def _width(soulstone: Soulstone) -> int:
        return 1 if soulstone.discipline == "titan" else max(1, soulstone.slots)

    @functools.cached_property
    def tiered(self) -> bool:
        """Whether any role is served at different tiers by different covens (W6)."""
        return any(
            len({facts.tier[c] for facts in self.covens.values() if c in facts.tier}) > 1
            for c in self.roles
        )

    def _must_exist(self, where: str, what: str, names: Iterable[str]) -> None:
        unknown = [n for n in names if n not in self.soulstones]
        if unknown:
            raise ValueError(f"{where} names no such {what}: {', '.join(unknown)}")

    def _capabilities(self, soulstone: str) -> list[tuple[str, int]]:
        """Everything one soulstone is asked for, with its tier (0 is best)."""
        own = [(c, 0) for c in (soulstone, *self.soulstones[soulstone].serves)]
        return own + [
            (role.name, role.tiers.index(soulstone))
            for role in self.roles.values()
            if soulstone in role.tiers
        ]

    def _facts(self, coven: Coven, conflicts: frozenset[str]) -> CovenFacts:
        server: dict[str, str] = {}
        tier: dict[str, int] = {}
        members = [self.soulstones[name] for name in coven.soulstones]
        for member in members:
            if member.authority == "shared" or member.lexicon:
                continue
            for capability, rank in self._capabilities(member.name):
                if capability not in self.always and rank < tier.get(capability, 1 << 30):
                    server[capability], tier[capability] = member.name, rank
        inertia = coven.inertia
        if inertia is None:
            inertia = max((self.rules.inertia[m.discipline] for m in members), default=0.0)
        return CovenFacts(
            name=coven.name,
            soulstones=frozenset(coven.soulstones),
            devices=frozenset(coven.devices),
            conflicts=conflicts,
            server=server,
            tier=tier,
            inertia=inertia,
            load_prior=max((m.load_seconds for m in members), default=0.0),
            prefill_rate=min((m.prefill_rate for m in members), default=1.0),
        )


def conflict_graph(covens: Mapping[str, Coven]) -> dict[str, frozenset[str]]:
    """Which covens exclude each other: they share a device and neither declares the other (W3).

    Symmetric and irreflexive.
    """
    graph: dict[str, set[str]] = {name: set() for name in covens}
    for a, b in itertools.combinations(covens.values(), 2):
        friends = b.name in a.coexists or a.name in b.coexists
        if not friends and set(a.devices) & set(b.devices):
            graph[a.name].add(b.name)
            graph[b.name].add(a.name)
    return {name: frozenset(others) for name, others in graph.items()}
