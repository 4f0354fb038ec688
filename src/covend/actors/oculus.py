"""The oculus actor: measures the devices on a clock of its own, and at once when asked."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from covend.actors.messages import Alert, MemoryReading, NewConfig, ReadNow
from covend.config import Box
from covend.host.oculus import Oculus, OculusError, Reading
from covend.host.units import observe
from covend.runtime import Actor, MailboxSpec, Message, ReplyError


class Tick(Message, frozen=True):
    """A timer's message: measure and tell."""


class OculusActor(Actor):
    """Tells the arbiter and the watchdogs what is in use, every ``oculus.sample_seconds``."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=1000, policy="drop_oldest")

    def __init__(self, box: Box, units: Path) -> None:
        self.box = box
        self.units = units
        self.oculus = Oculus(box.device)
        self.failed = False

    def on_start(self) -> None:
        self.ctx.timer("tick", self.box.oculus.sample_seconds, Tick())

    def on_receive(self, message: object) -> object:
        match message:
            case ReadNow():
                try:
                    return self.measure()
                except OculusError as error:
                    raise ReplyError(str(error)) from error
            case Tick():
                self.ctx.timer("tick", self.box.oculus.sample_seconds, Tick())
                self.tell()
            case NewConfig():
                self.box = message.box
                self.oculus = Oculus(message.box.device)
            case _:
                pass
        return None

    def measure(self) -> MemoryReading:
        """Read every device now; raises ``OculusError`` when one cannot be read."""
        alive = {name: unit.pid for name, unit in observe(self.units).items() if unit.alive}
        return reading_of(self.ctx.now(), self.oculus.read(alive))

    def tell(self) -> None:
        try:
            reading = self.measure()
        except OculusError as error:
            if not self.failed:
                self.ctx.tell("console", Alert("a device cannot be read", {"error": str(error)}))
            self.failed = True
            return
        self.failed = False
        self.ctx.tell("arbiter", reading)
        for name in reading.soulstones:
            if self.ctx.system.find(f"watchdog/{name}") is not None:
                self.ctx.tell(f"watchdog/{name}", reading)


def reading_of(at: float, devices: dict[str, Reading]) -> MemoryReading:
    """The devices' readings as one message for the core's actors."""
    soulstones: dict[str, dict[str, int]] = {}
    for device, reading in devices.items():
        for name, size in reading.soulstones.items():
            soulstones.setdefault(name, {})[device] = size
    return MemoryReading(
        at=at,
        capacity={name: reading.capacity for name, reading in devices.items()},
        used={name: reading.used for name, reading in devices.items()},
        foreign={name: reading.foreign for name, reading in devices.items()},
        soulstones=soulstones,
    )
