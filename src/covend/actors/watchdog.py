"""The watchdog of one exclusive soulstone: folds what is seen, asks the pure verdict (W26)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from covend.actors.messages import Alert, DemandChanged, HardReset, MemoryReading, SoulstoneHealth
from covend.config import Soulstone, Watchdog
from covend.runtime import Actor, MailboxSpec
from covend.will.watchdog import Observations, judge

TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer's message: judge again, for the verdicts that time alone brings about."""


class WatchdogActor(Actor):
    """Judges health, memory and progress of one soulstone; its verdict goes to the arbiter."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=1000, policy="drop_oldest")

    def __init__(self, spec: Soulstone, limits: Watchdog) -> None:
        self.spec = spec
        self.limits = limits
        self.seen = Observations()
        self.sentenced = False

    def on_start(self) -> None:
        self.ctx.timer("tick", TICK_SECONDS, Tick())
