"""Runs and responses for the tests of choosing, folding, asking and understanding."""

from __future__ import annotations

import hashlib
from typing import Any

from covend.patterns.query.admit import admit
from covend.patterns.responders.responder import Responder
from covend.patterns.state import SECOND, K, Response, begin
from covend.phylactery.canonical import canonical

NOON = 1_795_262_400 * SECOND
"""2026-11-21 12:00 UTC, a Saturday."""

DAY = 86_400 * SECOND


def llm(name: str = "a", **more: Any) -> Responder:
    return Responder(id=name, kind="llm", model="chat", **more)


def person(name: str = "eve", **more: Any) -> Responder:
    return Responder(id=name, kind="actor", did=f"did:web:{name}", **more)


def asked(**members: Any) -> dict[str, Any]:
    """A query as JSON; what is not said is the simplest that is valid."""
    return {"question": "What is it?", "responders": [{}], **members}


def run(*responders: Responder, seed: int = 7, **members: Any) -> K:
    """The K of a run that was just admitted."""
    body = admit(asked(**members), responders or [llm()], thread="q-1", now=NOON, seed=seed)
    return begin("q-1", body, NOON)


def response(
    value: Any,
    responder: str = "a",
    *,
    confidence: float | None = None,
    trust: float = 0.5,
    seq: int = 5,
    slot: int = 0,
    obligations: tuple[dict[str, Any], ...] = (),
) -> Response:
    return Response(
        call=f"primary/{slot}#1",
        responder=responder,
        value=value,
        hash=hashlib.sha256(canonical(value)).hexdigest(),
        seq=seq,
        trust=trust,
        confidence=confidence,
        obligations=obligations,
    )
