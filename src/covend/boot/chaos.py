"""Faults on request, for tests of supervision: an actor that makes another actor raise.

It exists only in processes started with ``COVEND_CHAOS=1``, and is heard only over the box's own
wire, which no other user can reach.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, NoReturn

from covend.runtime import CONTROL, Actor, ActorRef, Lane, MailboxSpec, Message, ReplyError, message

VARIABLE = "COVEND_CHAOS"


class Poisoned(Exception):
    """What a poisoned actor raises."""


@message("chaos.raise")
class RaiseIn(Message, frozen=True):
    """Make the actor of this name raise at its next message; answered with its incarnation."""

    actor: str


class Poison:
    """Goes to the front of the victim's mailbox, so that it is handled under any load."""

    lane: ClassVar[Lane] = CONTROL


class Chaos(Actor):
    """Answers ``RaiseIn``; address ``chaos@NODE``."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100, policy="reject")

    def on_receive(self, message: object) -> object:
        if not isinstance(message, RaiseIn):
            return None
        victim = self.ctx.system.find(message.actor)
        if victim is None:
            raise ReplyError(f"{self.ctx.system.node} has no actor {message.actor!r}")
        poison(victim)
        return victim.incarnation


def poison(victim: ActorRef) -> None:
    """Have this incarnation of an actor raise ``Poisoned`` as if its own code had. Any thread.

    Its handler is replaced rather than taught about poison: no actor knows of this module.
    """
    actor: Any = victim.cell.actor
    actor.on_receive = _raise
    victim.tell(Poison())


def wanted() -> bool:
    """Whether this process was started to be struck."""
    return os.environ.get(VARIABLE) == "1"


def _raise(message: object) -> NoReturn:
    raise Poisoned(f"poisoned by chaos@, at a {type(message).__name__}")
