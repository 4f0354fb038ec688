"""The soulstone actor: the life of one model server, as seen by the core.

| state | meaning | probes |
|---|---|---|
| absent | no process is known; the arbiter was told | none |
| loading | a process is there and does not answer yet | every 10 ms, then slower (W23) |
| ready | its health answered; the arbiter was told | every ``watchdog.health_seconds`` |
| overdue | loading for longer than a transition would wait | every ``watchdog.health_seconds`` |

Of what is ready or overdue the watchdog hears every probe: who lives and never answers, adopted
from a core that died, say, is reset like any other (W26).

When the process ends the actor fails with it (W26): its supervisor starts a new one, which
looks at the world again. A shared soulstone has no process of ours: it is only probed (W4).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from covend.actors.messages import SoulstoneDown, SoulstoneHealth, SoulstoneReady
from covend.actors.swaps.probe import HealthProbe
from covend.config import Soulstone, Watchdog
from covend.host.units import UnitState, observe
from covend.protocol import UpstreamBroke
from covend.runtime import Actor, Exit, MailboxSpec, Message
from covend.runtime.pidfd import Watch, exit_watcher

FAST_PROBE_SECONDS = 0.01
"""Readiness is found within 20 ms of its being true (W23)."""
SLOW_PROBE_SECONDS = 0.1
FAST_FOR_SECONDS = 30.0
"""A model that loads for longer than this is probed ten times a second."""
PROBE_TIMEOUT_SECONDS = 2.0


class ProcessEnded(Exception):
    """The soulstone's process is gone; the actor goes with it."""


class Look(Message, frozen=True):
    """Look at the world again: the reactor said that something changed."""


class Gone(Message, frozen=True):
    """The exit watcher saw the process end."""

    pid: int
    status: int | None


class ProbeNow(Message, frozen=True):
    """A timer's message."""


class SoulstoneActor(Actor):
    """One model server's health and readiness, told to the arbiter and to its watchdog."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=1000, policy="drop_oldest")

    def __init__(self, spec: Soulstone, limits: Watchdog, awaken: float, units: Path) -> None:
        self.spec = spec
        self.limits = limits
        self.awaken = awaken
        self.units = units
        self.probe = HealthProbe(spec.endpoint, spec.health)
        self.unit: UnitState | None = None
        self.watch: Watch | None = None
        self.ready = False

    def on_start(self) -> None:
        if self.spec.authority == "shared":
            self.ctx.tell(self.ctx.me, ProbeNow())
        else:
            self.look(first=True)

    def on_stop(self, reason: Exit) -> None:
        self.unwatch()
        self.probe.close()

    def on_receive(self, message: object) -> object:
        match message:
            case Look():
                self.look()
            case ProbeNow() | UpstreamBroke():
                self.probe_now()
            case Gone():
                self.gone(message)
            case _:
                pass
        return None

    def look(self, first: bool = False) -> None:
        """Find the process in the unit records and begin to watch and probe it (W25)."""
        unit = observe(self.units).get(self.spec.name)
        if unit is None or not unit.alive:
            if first:
                self.ctx.tell("arbiter", SoulstoneDown(self.spec.name, None, {"why": "absent"}))
            return
        if self.unit is not None and self.unit.pid == unit.pid:
            return
        self.unwatch()
        self.unit, self.ready = unit, False
        me = self.ctx.me
        self.watch = exit_watcher().watch(
            unit.pid, unit.create_time, lambda status: me.tell(Gone(unit.pid, status))
        )
        self.probe_now()

    def probe_now(self) -> None:
        if self.unit is None and self.spec.authority == "exclusive":
            return
        ok, detail = self.probe(PROBE_TIMEOUT_SECONDS)
        health = SoulstoneHealth(self.spec.name, ok, detail)
        if self.unit is None:
            self.ctx.tell("arbiter", health)
        elif ok and not self.ready:
            self.ready = True
            load = max(0.0, self.ctx.now() - self.unit.started)
            self.ctx.tell("arbiter", SoulstoneReady(self.spec.name, self.unit.pid, load))
        elif self.ready or self.age() > self.awaken:
            self.ctx.tell(f"watchdog/{self.spec.name}", health)
        self.ctx.timer("probe", self.pause(), ProbeNow())

    def age(self) -> float:
        """Seconds since its process was started; a shared one has none of ours."""
        return self.ctx.now() - self.unit.started if self.unit else 0.0

    def pause(self) -> float:
        """Seconds to the next probe."""
        if self.unit is None or self.ready or self.age() > self.awaken:
            return self.limits.health_seconds
        return FAST_PROBE_SECONDS if self.age() < FAST_FOR_SECONDS else SLOW_PROBE_SECONDS

    def gone(self, news: Gone) -> None:
        """The process ended: say so with the evidence, and end with it."""
        if self.unit is None or news.pid != self.unit.pid:
            return
        evidence = {"pid": news.pid, "status": news.status, "was_ready": self.ready}
        self.ctx.tell("arbiter", SoulstoneDown(self.spec.name, news.pid, evidence))
        raise ProcessEnded(f"{self.spec.name} (pid {news.pid}) ended with {news.status}")

    def unwatch(self) -> None:
        if self.watch is not None:
            self.watch.cancel()
            self.watch = None
