"""The tables of a box file about queries: who can be asked, what is kept, and the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from covend.config.types import Capability, Count, Did, Dollars, Interval, Patience, Share

if TYPE_CHECKING:
    from covend.patterns.responders.responder import Responder

OWN = "model:"
"""So begin the ids of the box's own models."""


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call of a responder costs in US dollars (P13)."""

    per_call: Annotated[Dollars, Meta(description="For each call.")] = 0.0
    per_1k_input: Annotated[Dollars, Meta(description="For a thousand tokens of the prompt.")] = 0.0
    per_1k_output: Annotated[Dollars, Meta(description="For a thousand tokens of the answer.")] = (
        0.0
    )


class OfficeHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a person answers."""

    days: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=6)], ...],
        Meta(description="Weekdays; 0 is Monday."),
    ] = (0, 1, 2, 3, 4)
    start: Annotated[float, Meta(ge=0, le=24, description="Local hour of the day.")] = 9.0
    end: Annotated[float, Meta(ge=0, le=24, description="Local hour of the day.")] = 17.0
    utc_offset: Annotated[
        float, Meta(ge=-14, le=14, description="Hours from UTC to local time.")
    ] = 0.0


class ResponderEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who can be asked in a query (P8). The box's own models need no entry: `model:NAME`."""

    name: Annotated[Capability, Meta(description="What queries and records call it.")]
    kind: Annotated[
        Literal["llm", "pattern", "system", "actor"],
        Meta(
            description="`llm`: a model. `pattern`: a deterministic function. `system`: a command "
            "or an HTTP endpoint. `actor`: a person, or an agent outside."
        ),
    ]
    model: Annotated[
        str | None,
        Meta(description="For an llm: a capability of this box, or what `endpoint` calls it."),
    ] = None
    endpoint: Annotated[
        str | None,
        Meta(description="For an llm elsewhere: an OpenAI-compatible base, with its `/v1`."),
    ] = None
    api_key_env: Annotated[
        str | None, Meta(description="The environment variable with the key for `endpoint`.")
    ] = None
    function: Annotated[
        str | None,
        Meta(
            description="For a pattern: `regex:EXPRESSION`, `lookup:{JSON}`, `arithmetic`, or an "
            "installed function's name."
        ),
    ] = None
    command: Annotated[
        tuple[str, ...],
        Meta(description="For a system: a program that reads JSON and writes JSON."),
    ] = ()
    url: Annotated[
        str | None, Meta(description="For a system: where the same JSON is posted to.")
    ] = None
    did: Annotated[Did | None, Meta(description="For an actor: who it is.")] = None
    channels: Annotated[
        tuple[str, ...],
        Meta(
            description="Where an actor is told of tasks: apprise addresses; {env:VAR} is put in."
        ),
    ] = ()
    delegates: Annotated[
        tuple[Did, ...], Meta(description="The dids that are told when the actor stays silent.")
    ] = ()
    sla_seconds: Annotated[
        Patience | None, Meta(description="When an actor should have answered (P18).")
    ] = None
    domains: Annotated[tuple[str, ...], Meta(description="What it knows about.")] = ()
    capabilities: Annotated[tuple[str, ...], Meta(description="What it can do.")] = ()
    trust: Annotated[Share, Meta(description="How much it is trusted, until it is learned.")] = 0.5
    typical_delay_seconds: Annotated[
        Patience | None, Meta(description="How long it takes, until that is measured.")
    ] = None
    available: Annotated[bool, Meta(description="Whether it is asked at all.")] = True
    hours: Annotated[
        OfficeHours | None, Meta(description="When a person answers; left out: always.")
    ] = None
    cost: Annotated[Price, Meta(description="What a call costs in US dollars.")] = Price()
    idempotent: Annotated[
        bool, Meta(description="Whether it heeds a key, so that asking twice is asking once (P4).")
    ] = True


class SchemaEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON Schema that queries refer to: `answer_shape.schema_ref` (P7)."""

    name: Annotated[Capability, Meta(description="What queries call it.")]
    json: Annotated[str, Meta(description="The schema, complete in itself, as JSON.")]


class Records(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the records are kept, and for how long (D3, D4)."""

    dsn: Annotated[
        str | None,
        Meta(
            description="A `postgresql://` address; left out: SQLite in `state_dir`. {env:VAR} is "
            "put in."
        ),
    ] = None
    retention_days: Annotated[
        float, Meta(ge=0, description="Days after which an ended run's working records go.")
    ] = 7.0


class Queries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of running queries, and how people are told of tasks (P18)."""

    max_active: Annotated[
        Count, Meta(description="Runs in memory at once; more are refused. Parked ones are not.")
    ] = 1000
    max_calls: Annotated[
        Count,
        Meta(
            description="Calls to endpoints and commands at once: a third of them to one responder "
            "at most, half to one host. As many functions run beside them."
        ),
    ] = 64
    digest_seconds: Annotated[
        Interval, Meta(description="Tasks with more than an hour are told of together, so often.")
    ] = 900.0
    inbox_url: Annotated[
        str | None, Meta(description="The address of the inbox page, for notifications.")
    ] = None


def lack(one: ResponderEntry | Responder) -> tuple[str, str] | None:
    """What a responder of its kind cannot do without and has not, or None (P8).

    The member, of two the one that the API takes as well, and what is wrong.
    """
    has, member, needs = {
        "llm": (bool(one.model), "model", "an llm needs its 'model'"),
        "pattern": (bool(one.function), "function", "a pattern needs its 'function'"),
        "system": (
            bool(one.command) != bool(one.url),
            "url",
            "a system needs either a 'command' or a 'url'",
        ),
        "actor": (bool(one.did), "did", "an actor needs its 'did'"),
    }[one.kind]
    return None if has else (member, needs)


def address_problems(one: ResponderEntry | Responder) -> list[tuple[str, str]]:
    """The members that must be addresses and are none, each with what would be right."""
    members = (("endpoint", one.endpoint), ("url", one.url))
    return [
        (name, problem)
        for name, address in members
        if address is not None and (problem := _address_problem(address))
    ]


def _address_problem(address: str) -> str | None:
    if not address.startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    try:
        parts = urlsplit(address)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:  # its text may tell a password
        sound = False
    return None if sound else "must have a host, and no port or one of 1 to 65535"
