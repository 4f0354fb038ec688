"""Reading back records that another build of covend may have written, or that were damaged since.

One that is not understood, or no longer what was stored, is left out, and said: it must not keep an
actor from starting, and with it the core.
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

    Left out as well are those that a ``Query`` for ``damaged`` ones found so. The operator is told
    of each that is left out: which it is, where, and why. In the actor's thread.
    """
    found: list[T] = []
    for entry in entries:
        if "damaged" in entry:
            passed_over(ctx, entry)
            continue
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


def intact(ctx: Context, entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without those that were found damaged, which the operator is told of."""
    return legible(ctx, entries, lambda entry: entry)


def passed_over(ctx: Context, entry: dict[str, Any]) -> None:
    """Say that a damaged record is left out."""
    text = f"record {entry['seq']} is skipped, it is damaged: {entry['damaged']}"
    log.warning("%s", text)
    ctx.tell("console", Alert(text, {"seq": entry["seq"]}))
