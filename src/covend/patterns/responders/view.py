"""How a responder stands at one moment, for whoever looks for somebody to ask (P8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from covend.patterns.responders.availability import absence, is_available
from covend.patterns.responders.responder import KnownResponder
from covend.resolving import resolved


def responder_view(responder: Mapping[str, Any], now: int) -> dict[str, Any]:
    """What there is to know of a responder before it is asked; ``now`` is a clock (µs).

    ``why`` says why it would not be asked, None where it would; ``missing_env`` names the
    variables that it lacks. Addresses and commands are left out: they are nobody's business but
    the box's.
    """
    one = msgspec.convert(responder, resolved(KnownResponder))
    return {
        "id": one.id,
        "kind": one.kind,
        "is": one.alias_of or one.model or one.did or one.function,
        "trust": one.trust,
        "delay_secs": one.typical_delay_secs,
        "domains": list(one.domains),
        "available": is_available(one, now),
        "why": absence(one, now),
        "missing_env": list(one.missing_env),
    }
