"""The watchdog of one exclusive soulstone: folds what is seen, asks the pure verdict (W26)."""

from __future__ import annotations

from typing import ClassVar

from covend.actors.messages import HardReset, MemoryReading, SoulstoneHealth, Traffic
from covend.config import Soulstone, Watchdog
from covend.runtime import Actor, MailboxSpec, Message
from covend.will.watchdog import Limits, Observations, judge

TICK_SECONDS = 1.0


class Tick(Message, frozen=True):
    """A timer's message: judge again, for the verdicts that time alone brings about."""


class WatchdogActor(Actor):
    """Judges health, memory and progress of one soulstone; its verdict goes to the arbiter.

    A death is the soulstone actor's to report. After a verdict it begins afresh: the reset takes a
    while, and its observations belong to the process that was condemned.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=1000, policy="drop_oldest")

    def __init__(self, spec: Soulstone, limits: Watchdog) -> None:
        self.spec = spec
        self.limits = Limits(
            limits.health_failures,
            limits.quota_seconds,
            limits.stall_seconds,
            limits.answer_seconds,
        )
        self.quota = sum(spec.memory.values())
        self.seen = Observations()

    def on_start(self) -> None:
        self.ctx.timer("tick", TICK_SECONDS, Tick())

    def on_receive(self, message: object) -> object:
        now = self.ctx.now()
        match message:
            case SoulstoneHealth():
                self.seen = self.seen.checked(message.ok, message.detail)
            case MemoryReading():
                used = sum(message.soulstones.get(self.spec.name, {}).values())
                self.seen = self.seen.measured(used, self.quota, now)
            case Traffic():
                self.seen = self.seen.trafficked(
                    message.in_flight, message.last_byte, now, message.streams
                )
            case Tick():
                self.ctx.timer("tick", TICK_SECONDS, Tick())
            case _:
                return None
        self.judge(now)
        return None

    def judge(self, now: float) -> None:
        verdict = judge(self.seen, now, self.limits)
        if verdict is not None:
            evidence = {"kind": verdict.kind, "evidence": verdict.evidence}
            self.ctx.tell("arbiter", HardReset(self.spec.name, verdict.kind, evidence))
            self.seen = Observations()
