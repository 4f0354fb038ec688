"""How a box behaves, as its file says: one frozen struct per section, every default a rule's.

Sizes are bytes, times are seconds; a file may write both with a unit (`"1.5GiB"`, `"15min"`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from covend.config.types import (
    KIB,
    MIB,
    Buffer,
    Count,
    Interval,
    Positive,
    Seconds,
    Share,
    Size,
)


class IngestWindow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When ingestion counts double (W16): a time of day, or a backlog."""

    start: Annotated[str, Meta(pattern=r"^(|([01]\d|2[0-3]):[0-5]\d)$", description="HH:MM.")] = ""
    end: Annotated[
        str,
        Meta(pattern=r"^(|([01]\d|2[0-3]):[0-5]\d)$", description="HH:MM; may be past midnight."),
    ] = ""
    days: Annotated[
        tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...],
        Meta(description="Days on which it starts; left out: every day."),
    ] = ()
    backlog: Annotated[
        Count | None, Meta(description="Opens whenever at least this many requests wait.")
    ] = None


WEIGHTS: dict[str, float] = {"reflex": 4.0, "ritual": 1.0, "ingest": 1.0, "swarm": 0.25}
INERTIA: dict[str, float] = {"titan": 2.0, "kinetic": 5.0, "weaver": 15.0}
SLA: dict[str, float] = {"reflex": 10.0, "ritual": 60.0, "ingest": 900.0, "swarm": 300.0}


class Whim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The policy that decides whether a swap is worth its cost (W7–W18)."""

    strategy: Annotated[
        str,
        Meta(
            min_length=1,
            description="`whim`, `eager`, an installed plug-in's name, or `package.module:Class` "
            "(W17).",
        ),
    ] = "whim"
    kappa: Annotated[
        Positive, Meta(description="How many times its cost a coven is served before it may go.")
    ] = 8.0
    kappa_dominant: Annotated[
        Positive, Meta(description="The same, for a class above all of the resident's work.")
    ] = 0.5
    kappa_dominant_max: Annotated[
        Positive, Meta(description="What `kappa_dominant` rises to as the swap budget is used up.")
    ] = 4.0
    budget_low: Annotated[
        Share, Meta(description="Share of time spent swapping from which it begins to rise.")
    ] = 0.20
    budget_high: Annotated[
        Share, Meta(description="Share of time spent swapping at which it has risen fully.")
    ] = 0.35
    budget_window: Annotated[
        Interval, Meta(description="The time over which that share is taken.")
    ] = 300.0
    think: Annotated[
        Seconds, Meta(description="The pause between a client's requests, until it is learned.")
    ] = 0.5
    linger: Annotated[
        Seconds,
        Meta(description="How long an idle coven is kept from a lower class than it served."),
    ] = 30.0
    lower_factor: Annotated[
        float, Meta(ge=1, description="A lower class waits the term this many times.")
    ] = 4.0
    weights: Annotated[
        dict[str, float], Meta(description="Weight per class; those left out keep theirs (W7).")
    ] = field(default_factory=lambda: dict(WEIGHTS))
    ingest_window_weight: Annotated[
        Positive, Meta(description="The weight of `ingest` inside an ingestion window (W16).")
    ] = 2.0
    inertia: Annotated[
        dict[str, Seconds],
        Meta(description="Seconds of inertia per discipline; those left out keep theirs (W11)."),
    ] = field(default_factory=lambda: dict(INERTIA))
    sla: Annotated[
        dict[str, Seconds],
        Meta(description="How old a waiting class may get behind a higher one (W15)."),
    ] = field(default_factory=lambda: dict(SLA))
    ingest_windows: Annotated[
        tuple[IngestWindow, ...], Meta(description="When ingestion counts double (W16).")
    ] = ()
    ingest_max_wait: Annotated[
        Seconds, Meta(description="Older `ingest` is served within the next swap (W16).")
    ] = 900.0
    tier_up_seconds: Annotated[
        Seconds, Meta(description="How long demand for a larger tier must stand (W6).")
    ] = 60.0


class TransitionLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deadlines of a transition's phases (W19), and how often it is tried (W24)."""

    drain: Annotated[Seconds, Meta(description="For what is in flight to end.")] = 120.0
    host_action: Annotated[Seconds, Meta(description="For the host to stop and start.")] = 120.0
    awaken: Annotated[Seconds, Meta(description="For the new soulstones to become ready.")] = 180.0
    attempts: Annotated[
        int, Meta(ge=1, le=100, description="Failed attempts before the target is quarantined.")
    ] = 3


class GateLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the HTTP front door accepts, and how long it waits (G2, G3, G7, G8)."""

    max_header_bytes: Annotated[
        Buffer, Meta(description="Larger request heads are refused with 431.")
    ] = 32 * KIB
    max_body_bytes: Annotated[
        Size, Meta(description="Larger request bodies are refused with 413.")
    ] = 64 * MIB
    waiting_room: Annotated[
        int, Meta(ge=0, description="Requests that may wait at once; more get 429 (G3).")
    ] = 1000
    header_seconds: Annotated[
        Seconds, Meta(description="A client may take this long to send its request's head.")
    ] = 10.0
    body_seconds: Annotated[
        Seconds, Meta(description="A client may take this long between parts of its body.")
    ] = 60.0
    idle_seconds: Annotated[
        Seconds, Meta(description="An unused keep-alive connection is closed after this.")
    ] = 75.0
    write_buffer_bytes: Annotated[
        Buffer, Meta(description="Bytes held for a slow reader before its source pauses.")
    ] = 256 * KIB
    keepalive_comment_seconds: Annotated[
        Interval, Meta(description="Between SSE comments to a streaming client that waits (G2).")
    ] = 10.0
    default_timeout: Annotated[
        Seconds, Meta(description="How long a request waits without `X-Covend-Timeout`.")
    ] = 600.0
    require_key_on_loopback: Annotated[
        bool, Meta(description="Ask for an API key from clients of this machine as well.")
    ] = False
    tls_cert: Annotated[
        str | None, Meta(description="Certificate chain (PEM), relative to this file.")
    ] = None
    tls_key: Annotated[
        str | None, Meta(description="Its private key (PEM), relative to this file.")
    ] = None


class Watchdog(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a soulstone counts as sick (W26)."""

    health_failures: Annotated[
        Count, Meta(description="Health checks that fail in a row before a hard reset.")
    ] = 3
    health_seconds: Annotated[Interval, Meta(description="Between two health checks.")] = 5.0
    quota_seconds: Annotated[
        Seconds, Meta(description="Over its memory for this long is a hard reset.")
    ] = 5.0
    stall_seconds: Annotated[
        Seconds,
        Meta(description="An answer that flows, and no byte for this long, is a hard reset."),
    ] = 60.0
    answer_seconds: Annotated[
        Seconds,
        Meta(
            description="The same where no answer flows: one that is not streamed comes all at "
            "once, and a long prompt is read before the first byte."
        ),
    ] = 600.0


class Alerts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator is told (W27)."""

    keep: Annotated[Count, Meta(description="How many alerts `covend status` remembers.")] = 100
    repeat_seconds: Annotated[
        Seconds, Meta(description="The same alert is not raised again within this time.")
    ] = 300.0


class Reactor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the host is changed (W22)."""

    driver: Annotated[
        Literal["process"], Meta(description="What starts soulstones: `process`, plain processes.")
    ] = "process"
    intent_seconds: Annotated[
        Seconds, Meta(description="An intent older than this is refused.")
    ] = 120.0


class Oculus(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the devices are read."""

    sample_seconds: Annotated[
        Interval, Meta(description="Between two readings while nothing moves.")
    ] = 1.0
