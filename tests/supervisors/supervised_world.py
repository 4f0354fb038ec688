"""A world to supervise in, on both runtimes, and workers that say what happens to them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from covend.runtime import (
    NORMAL,
    SHUTDOWN,
    Actor,
    ActorDead,
    ActorRef,
    Exit,
    Shutdown,
    SimSystem,
    System,
    ThreadSystem,
)
from covend.supervisors import (
    ChildSpec,
    CountChildren,
    DynamicSpec,
    DynamicSupervisor,
    Report,
    Supervisor,
    SupervisorSpec,
)

SHOWN = ("restart", "keep", "drop", "auto_shutdown", "escalate", "zombie", "failed_to_start")


class Boom(Exception):
    """What workers die of."""


class World:
    """A system with a diary: what workers went through, what supervisors decided."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.diary: list[str] = []
        self.reports: list[Report] = []
        self.failing: Counter[str] = Counter()
        """How many more starts of a worker fail, by name."""
        self.ends: dict[str, Exit] = {}
        self.release = threading.Event()

    def hear(self, report: Report) -> None:
        self.reports.append(report)
        if report.decision in SHOWN:
            self.diary.append(f"{report.decision} {report.child}")

    def starts(self) -> list[float]:
        """When a child was started, each time."""
        return [report.at for report in self.reports if report.decision == "started"]

    def worker(self, id: str, kind: str = "worker", **options: Any) -> ChildSpec:
        return ChildSpec(id, (KINDS[kind], (self, id)), **options)

    def inner(self, spec: SupervisorSpec, **options: Any) -> ChildSpec:
        start = (Supervisor, (spec, self.hear))
        return ChildSpec(spec.name, start, kind="supervisor", **options)

    def supervise(self, spec: SupervisorSpec | DynamicSpec) -> ActorRef:
        kind = Supervisor if isinstance(spec, SupervisorSpec) else DynamicSupervisor
        ref = self.system.spawn(kind, spec, self.hear, name=spec.name)  # type: ignore[arg-type]
        self.system.watch(spec.name, lambda reason: self.ends.__setitem__(spec.name, reason))
        return ref

    def until(self, condition: Callable[[], object], what: object = "") -> None:
        """Waits for a condition: with a deadline on threads, in virtual time in the simulation."""
        if isinstance(self.system, SimSystem):
            self.system.run(lambda: bool(condition()))
            return
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, (what, self.diary)
            time.sleep(0.002)

    def settle(self, supervisor: ActorRef, expected: int) -> None:
        """Waits until the diary is as long as expected and the supervisor is at rest."""
        self.until(lambda: len(self.diary) >= expected, f"{expected} entries")
        if supervisor.alive and supervisor.name not in self.ends:
            try:
                supervisor.ask(CountChildren(), timeout=10)
            except ActorDead:
                self.until(lambda: supervisor.name in self.ends, "the supervisor's end")


class Worker(Actor):
    """Starts (unless it is to fail), dies or ends as told, and writes all of it down."""

    def __init__(self, world: World, id: str) -> None:
        self.world = world
        self.id = id

    def on_start(self) -> None:
        if self.world.failing[self.id] > 0:
            self.world.failing[self.id] -= 1
            raise Boom(f"{self.id} cannot start")
        self.world.diary.append(f"+{self.id}")

    def on_receive(self, message: object) -> object:
        match message:
            case "crash":
                raise Boom(self.id)
            case "finish":
                self.ctx.stop(NORMAL)
            case "leave":
                self.ctx.stop(SHUTDOWN)
            case _:
                return message
        return None

    def on_stop(self, reason: Exit) -> None:
        self.world.diary.append(f"-{self.id} {reason.kind}")


class Stubborn(Worker):
    """Is busy for ever once it is asked to stop; on threads, until the test is over."""

    trap_shutdown = True

    def on_receive(self, message: object) -> object:
        if isinstance(message, Shutdown) and isinstance(self.ctx.system, ThreadSystem):
            self.world.release.wait(20)
        return None


class Slow(Worker):
    """Takes half a second to stop."""

    trap_shutdown = True

    def on_receive(self, message: object) -> object:
        if message == "stop now":
            self.ctx.stop(SHUTDOWN)
        else:
            self.ctx.timer("stop", 0.5, "stop now")
        return None


class Murderer(Worker):
    """Ends two siblings while it starts: their supervisor learns of both deaths at once."""

    def on_start(self) -> None:
        super().on_start()
        for sibling in ("a", "b"):
            ref = self.ctx.system.find(sibling)
            assert ref is not None
            ref.tell("crash")
            assert self.ctx.system.join(ref, 5.0)


KINDS = {"worker": Worker, "stubborn": Stubborn, "slow": Slow, "murderer": Murderer}


@contextmanager
def world_of(system: System) -> Iterator[World]:
    """A world that lets its stubborn workers go at the end."""
    world = World(system)
    with system:
        try:
            yield world
        finally:
            world.release.set()
