"""What a select may say: a batch of calls, the end, or nothing to do now."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from covend.patterns.query.names import Status
from covend.patterns.state import Response


class Batch(msgspec.Struct, frozen=True):
    """Bodies of ``learn`` records, then of ``call`` records, written in one transaction (P3)."""

    learn: tuple[dict[str, Any], ...] = ()
    calls: tuple[dict[str, Any], ...] = ()


class Done(msgspec.Struct, frozen=True):
    """The end of a run: how, with which answer, and why.

    ``code`` is one of P19's, or ``disagreement``; ``details`` go into the record as they are,
    beside the partial responses that every ending lists.
    """

    status: Status
    answer: Any = None
    confidence: float | None = None
    code: str | None = None
    reason: str | None = None
    folded: tuple[Response, ...] = ()
    details: dict[str, Any] = {}


class Wait(msgspec.Struct, frozen=True):
    """Nothing follows before something comes: an answer, a timer, a person."""


Decision: TypeAlias = Batch | Done | Wait
