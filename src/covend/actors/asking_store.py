"""Asking the store and the registry, and for how long whoever asks waits for them."""

from __future__ import annotations

from typing import Any

from covend.actors.runs.messages import Known
from covend.patterns.responders.responder import Responder
from covend.phylactery.messages import Append
from covend.runtime import AskTimeout, Context, ReplyError

STORE_SECONDS = 30.0
"""So long may a healthy store take on a slow disk where much has piled up.

What an asker gives up may be stored all the same, and has to be read back: that is more work for a
store which is slow already, so this is rather too long than too short.
"""
SERVING_SECONDS = 10.0
"""The same of those who are asked themselves: less than anybody waits for them.

The courier waits 20 s for the broker, the desk ``STORE_SECONDS`` for the registry. So they hear
that the store did not answer, where they would hear nothing.
"""


def ask_store(ctx: Context, question: object, seconds: float = STORE_SECONDS) -> Any:
    """The store's answer, in the asking actor's thread.

    Raises ``ReplyError`` with what the store refuses, and where it is too slow to be read;
    ``ActorError`` where it is away, or too slow to say whether it stored what it was given.
    """
    try:
        return ctx.ask("phylactery", question, timeout=seconds)
    except AskTimeout as error:
        if isinstance(question, Append):
            raise
        # Nothing is in doubt: whoever asked lives on, and refuses what it cannot answer.
        raise ReplyError(f"not read: {error}") from error


def ask_known(ctx: Context) -> tuple[Responder, ...]:
    """Every responder as the registry knows it now, in the asking actor's thread.

    Raises ``ReplyError`` where it is slow, as when the store is; ``ActorError`` where it is away.
    """
    try:
        return ctx.ask("registry", Known(), timeout=STORE_SECONDS)
    except AskTimeout as error:
        raise ReplyError(f"not known: {error}") from error
