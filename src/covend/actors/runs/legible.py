"""Reading back bodies that another build of covend may have written.

One that is not understood is left out, and said: it must not keep an actor from starting, and with
it the core.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import covend
from covend.actors.messages import Alert
from covend.runtime import Context

log = logging.getLogger(__name__)

T = TypeVar("T")


def legible(
    ctx: Context, entries: Iterable[dict[str, Any]], read: Callable[[dict[str, Any]], T]
) -> list[T]:
    """What ``read`` makes of each record, in their order, without those that it cannot read.

    The operator is told of each that is left out: which it is, where, and why. In the actor's
    thread.
    """
    found: list[T] = []
    for entry in entries:
        try:
            found.append(read(entry))
        except Exception as error:  # whatever a body of an unknown build leads to
            skipped(ctx, entry, error)
    return found


def skipped(ctx: Context, entry: dict[str, Any], error: Exception) -> None:
    """Say that a record is left out."""
    name = f"{entry['kind']!r} record {entry['id'][:16]} of {entry['thread']!r}"
    why = f"{type(error).__name__}: {error}"
    text = f"the {name} is skipped: covend {covend.__version__} cannot read it: {why[:200]}"
    log.warning("%s", text)
    ctx.tell("console", Alert(text, {"id": entry["id"], "thread": entry["thread"]}))
