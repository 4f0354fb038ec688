"""Asking the store, and for how long whoever asks waits for it."""

from __future__ import annotations

from typing import Any

from covend.runtime import Context

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

    Raises ``ReplyError`` with what the store refuses, ``ActorError`` where it is away or slow.
    """
    return ctx.ask("phylactery", question, timeout=seconds)
