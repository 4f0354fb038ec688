"""Who can be asked: a responder as the registry describes it at one moment (P8).

A plan holds copies of these, so that a run parked for a week decides by what it was admitted with.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from covend.patterns.query.spec import Kind, Spec
from covend.phylactery.canonical import canonical, parse

TYPICAL_TOKENS = 1000
"""How many tokens go in and come out of a call that nothing more is known about."""


class Cost(Spec, frozen=True, kw_only=True):
    """What one call costs in US dollars; zeros for what is free."""

    per_call: float = 0.0
    per_1k_input: float = 0.0
    per_1k_output: float = 0.0

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What a call with so many tokens costs."""
        return (
            self.per_call
            + self.per_1k_input * input_tokens / 1000
            + self.per_1k_output * output_tokens / 1000
        )

    @property
    def typical(self) -> float:
        """What a call of ordinary size costs: a thousand tokens each way."""
        return self.of(TYPICAL_TOKENS, TYPICAL_TOKENS)


class Hours(Spec, frozen=True, kw_only=True):
    """When a person answers: weekdays (0 is Monday) and local hours, at a fixed distance of UTC."""

    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    start: float = 9.0
    end: float = 17.0
    utc_offset: float = 0.0


class Responder(Spec, frozen=True, kw_only=True):
    """One responder; which members matter depends on its ``kind``.

    ``model`` is a capability of this box, or with ``endpoint`` what that OpenAI-compatible
    server calls it. ``alias_of`` is the id under which the same model of this box answers already;
    the box alone says it. ``function`` names a registered deterministic function. A ``system``
    responder is a ``command`` (the request as JSON on its standard input, the answer as JSON on
    its output) or a ``url`` that is posted to. ``schema`` is the JSON Schema of all that it
    answers. ``did`` is a person's identity, ``channels`` are apprise addresses (in the registry
    alone: a plan has none), ``delegates`` the dids that are asked when the person stays silent.
    ``trust`` is learned (0 to 1), ``seen`` the clock (µs) of its last outcome,
    ``typical_delay_secs`` measured.
    """

    id: str
    kind: Kind
    model: str | None = None
    alias_of: str | None = None
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


class KnownResponder(Responder, frozen=True, kw_only=True):
    """A responder as the box shows it.

    ``missing_env`` names the environment variables that it needs, for its key and elsewhere, and
    that have no value where the box runs: it is asked nevertheless, and what needs one fails.
    """

    missing_env: tuple[str, ...] = ()


def as_data(struct: msgspec.Struct) -> dict[str, Any]:
    """A responder, or a part of one, as plain JSON data with every member, for CEL."""
    data: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(struct).items():
        data[name] = as_data(value) if isinstance(value, msgspec.Struct) else value
    return data


def to_data(value: object) -> Any:
    """Any part of a query or responder as its records have it; defaults are left out."""
    return parse(canonical(msgspec.to_builtins(value)).decode())
