"""Answers that did not stand, kept in the ``learn`` of their round in case nothing better comes."""

from __future__ import annotations

from typing import Any

from covend.patterns.answers.folding import Folded
from covend.patterns.decision import Done
from covend.patterns.query.names import Status
from covend.patterns.state import K


def candidate(k: K, fold: Folded) -> dict[str, Any]:
    """What a ``learn`` keeps of an answer that did not stand."""
    kept: dict[str, Any] = {
        "answer": fold.answer,
        "confidence": fold.confidence,
        "folded": [response.call for response in fold.responses],
    }
    if fold.obligations and k.rules.promises_are_kept:
        kept["obligations"] = list(fold.obligations)
    return kept


def best(past: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The candidate of the highest confidence in these ``learn`` bodies, of equals the earliest."""
    candidates = [body["candidate"] for body in past if "candidate" in body]
    return max(candidates, key=lambda c: confidence_rank(c["confidence"]), default=None)


def confidence_rank(confidence: float | None) -> float:
    """An unstated confidence is below every stated one."""
    return -1.0 if confidence is None else confidence


def committed(
    k: K, found: dict[str, Any], status: Status, code: str | None, reason: str, **details: Any
) -> Done:
    """An end with a candidate for its answer, and with the obligations that came with it."""
    if "obligations" in found:
        details["obligations"] = found["obligations"]
    return Done(
        status,
        found["answer"],
        found["confidence"],
        code=code,
        reason=reason,
        folded=k.responses(found["folded"]),
        details=details,
    )
