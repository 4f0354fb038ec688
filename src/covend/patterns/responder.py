"""Who can be asked: a responder as the registry describes it at one moment (P8).

A plan holds copies of these, so that a run parked for a week decides by what it was admitted with.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from covend.patterns.spec import Kind, Spec


class Cost(Spec):
    """What one call costs in US dollars; zeros for what is free."""

    per_call: float = 0.0
    per_1k_input: float = 0.0
    per_1k_output: float = 0.0


class Hours(Spec):
    """When a person answers: weekdays (0 is Monday) and local hours, at a fixed distance of UTC."""

    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: float = 9.0
    end: float = 17.0
    utc_offset: float = 0.0


class Responder(Spec):
    """One responder; which members matter depends on its ``kind``.

    ``model`` is a capability of this box, or with ``endpoint`` what that OpenAI-compatible server
    calls it. ``function`` names a registered deterministic function. A ``system`` responder is a
    ``command`` (the request as JSON on its standard input, the answer as JSON on its output) or a
    ``url`` that is posted to. ``did`` is a person's identity, ``channels`` are apprise addresses,
    ``delegates`` the dids that are asked when the person stays silent. ``trust`` is learned (0 to
    1), ``seen`` the clock (µs) of its last outcome, ``typical_delay_secs`` measured.
    """

    id: str
    kind: Kind
    model: str | None = None
    endpoint: str | None = None
    api_key_env: str | None = None
    function: str | None = None
    command: tuple[str, ...] = ()
    url: str | None = None
    schema: dict[str, Any] | None = None
    did: str | None = None
    channels: tuple[str, ...] = ()
    delegates: tuple[str, ...] = ()
    sla_secs: float | None = None
    domains: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    trust: float = 0.5
    seen: int = 0
    available: bool = True
    hours: Hours | None = None
    typical_delay_secs: float | None = None
    cost: Cost = Cost()
    idempotent: bool = True
    status: Literal["active", "retired"] = "active"


def as_data(responder: Responder) -> dict[str, Any]:
    """The responder as plain JSON data, for CEL and records."""
    data: dict[str, Any] = msgspec.to_builtins(responder)
    return data
