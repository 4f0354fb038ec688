"""What a select may say: a batch of calls, the end, or nothing to do now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from covend.patterns.state import Response

Status = Literal[
    "fulfilled", "degraded", "unfulfilled", "unresolved", "rejected", "error", "cancelled"
]


@dataclass(frozen=True, slots=True)
class Batch:
    """Bodies of ``learn`` records, then of ``call`` records, written in one transaction (P3)."""

    learn: tuple[dict[str, Any], ...] = ()
    calls: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
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
    details: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing follows before something comes: an answer, a timer, a person."""


Decision: TypeAlias = Batch | Done | Wait
