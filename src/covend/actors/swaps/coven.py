"""The coven actor: closes, drains and confirms one coven for a transition (W20, S17).

It is the one that hears SIG_SOFT_STOP for a coven. It asks the dispatcher (for the gates) and the
broker (for the ghouls) to let go of the coven's soulstones, waits for both, and confirms to the
arbiter with the boundaries of what was parked. Past the deadline it says nothing: the arbiter's
own deadline decides, and no stream is cut here.
"""

from __future__ import annotations

from typing import ClassVar

from covend.actors.messages import CovenDrained, DrainGates, DrainGhouls, Reopen
from covend.protocol import Drained
from covend.runtime import CONTROL, Actor, Lane, MailboxSpec, Message


class SoftStopCoven(Message, frozen=True):
    """SIG_SOFT_STOP: let go of ``soulstones``; confirm with the same epoch (S17)."""

    epoch: int
    soulstones: tuple[str, ...]
    deadline: float
    lane: ClassVar[Lane] = CONTROL


class CovenActor(Actor):
    """One coven's admission during a transition; told by the arbiter alone."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=1000, policy="reject")

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = 0
        self.waiting: set[str] = set()
        self.boundaries: dict[str, int] = {}

    def on_receive(self, message: object) -> object:
        match message:
            case SoftStopCoven():
                self.drain(message)
            case Drained(epoch=epoch) if epoch == self.epoch and message.node in self.waiting:
                self.confirmed(message)
            case Reopen(epoch=epoch) if epoch == self.epoch:
                self.waiting.clear()
                self.ctx.tell("dispatcher", message)
                self.ctx.tell("broker", message)
            case _:  # an older epoch is stale: dropped, and traced by the runtime (S17)
                pass
        return None

    def drain(self, order: SoftStopCoven) -> None:
        self.epoch, self.waiting, self.boundaries = order.epoch, {"gates", "broker"}, {}
        here = f"{self.ctx.name}@core"
        fields = (order.epoch, order.soulstones, order.deadline, here)
        self.ctx.tell("broker", DrainGhouls(*fields))
        self.ctx.tell("dispatcher", DrainGates(*fields))

    def confirmed(self, confirm: Drained) -> None:
        self.waiting.discard(confirm.node)
        self.boundaries.update(confirm.boundaries)
        if not self.waiting:
            self.ctx.tell("arbiter", CovenDrained(self.name, self.epoch, dict(self.boundaries)))
