"""Calls that a run answers itself: of functions that are surely done soon, and cost nothing.

To have the courier carry them out would take longer than they do. They have no effect outside, so
nothing is in doubt after a crash: what is open is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from covend import functions
from covend.actors.calls.computing import compute
from covend.patterns.answers.understanding import declined, understood
from covend.patterns.responders.responder import Responder
from covend.patterns.state import K
from covend.runtime import Context, MailboxFull, Message


class GoOn(Message, frozen=True):
    """A run to itself: whoever had something to say was heard, and there is more to compute."""


def is_quick(call: dict[str, Any], responder: Responder) -> bool:
    """Whether a run answers this call itself."""
    if responder.kind != "pattern" or call["reserved"]:
        return False
    return functions.is_quick(responder.function or "", call["ask"])


def answer(k: K, call: dict[str, Any], now: Callable[[], float]) -> dict[str, Any]:
    """The body of the ``do`` that answers a quick call; ``now`` in seconds tells how long it took.

    Takes up to some 2 ms, in the run's own thread.
    """
    begun = now()
    raw, why = compute(k.responder(call["responder"]["id"]).function or "", call)
    if why is not None:
        return declined(call, why)
    return understood(k.plan, call, msgspec.structs.replace(raw, delay_secs=now() - begun))


def go_on(ctx: Context) -> bool:
    """Have a run hear what waits for it and then go on; false where its mailbox takes no more.

    It goes on then as well: after each of the messages that fill it.
    """
    try:
        ctx.tell(ctx.me, GoOn())
    except MailboxFull:
        return False
    return True
