"""What a box file may say: one frozen struct per table.

Field names are the keys of the TOML file. Sizes are bytes, times are seconds; a file may write
both with a unit (`"1.5GiB"`, `"15min"`). After `covend.config.load` every default is filled in,
every path is absolute and every placeholder is expanded, so that readers never see an empty
`run_dir`, `endpoint`, `model`, `serves` or `devices`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from covend.config.queries import Queries, Records, ResponderEntry
from covend.config.types import (
    KIB,
    MIB,
    Buffer,
    Capability,
    Class,
    Count,
    Discipline,
    Interval,
    Name,
    Positive,
    Seconds,
    Share,
    Size,
)


class Device(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An accelerator as NVML sees it, or the machine's RAM."""

    name: Annotated[Name, Meta(description="How the rest of the file calls it.")]
    kind: Annotated[
        Literal["host", "nvidia"],
        Meta(description="`nvidia`: a GPU, read through NVML. `host`: RAM, read through /proc."),
    ] = "host"
    index: Annotated[int, Meta(ge=0, description="NVML's index of the GPU.")] = 0
    uuid: Annotated[
        str | None,
        Meta(description="NVML's UUID; it wins over `index`, which moves when cards do."),
    ] = None
    capacity: Annotated[
        Size | None,
        Meta(description="Bytes covend may plan with; left out: all the device has."),
    ] = None


class Soulstone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model server with an HTTP endpoint."""

    name: Annotated[Name, Meta(description="Its name, and the first capability it serves.")]
    endpoint: Annotated[
        str, Meta(description="Where its server listens: `http://HOST:PORT`, nothing behind it.")
    ]
    command: Annotated[
        tuple[str, ...],
        Meta(
            description="What starts it, one string per argument, no shell. Placeholders: "
            "{python} {name} {model} {host} {port} {here} {home} {env:VAR} {package:PACKAGE/FILE}."
        ),
    ] = ()
    memory: Annotated[
        dict[str, Size],
        Meta(description="What it needs per device, weights and caches (W2): a table of sizes."),
    ] = {}
    serves: Annotated[
        tuple[Capability, ...],
        Meta(description="Further model names that requests may ask for; its own is implied."),
    ] = ()
    model: Annotated[
        str, Meta(description="The model name its server knows; left out: the soulstone's name.")
    ] = ""
    authority: Annotated[
        Literal["exclusive", "shared"],
        Meta(
            description="`exclusive`: covend starts and stops it. `shared`: covend only routes "
            "to it (W4)."
        ),
    ] = "exclusive"
    discipline: Annotated[
        Discipline,
        Meta(
            description="`titan`: one request at a time. `kinetic`: continuous batching. "
            "`weaver`: batching with a prefix cache that is costly to lose (W11)."
        ),
    ] = "titan"
    slots: Annotated[
        int, Meta(ge=1, le=4096, description="Requests its server takes at once; a titan takes 1.")
    ] = 1
    health: Annotated[
        str, Meta(pattern="^/", description="The path that answers 200 once it is ready.")
    ] = "/health"
    lexicon: Annotated[
        bool,
        Meta(description="A small model that stays resident, in the lexical reserve (W5)."),
    ] = False
    load_seconds: Annotated[
        Seconds, Meta(description="How long a load takes, until it has been measured (W10).")
    ] = 20.0
    service_seconds: Annotated[
        Seconds, Meta(description="How long a request takes, until it has been measured (W10).")
    ] = 5.0
    prefill_rate: Annotated[
        float, Meta(gt=0, description="Prompt tokens per second, until it has been measured (W10).")
    ] = 1000.0
    env: Annotated[
        dict[str, str], Meta(description="Environment variables added to covend's own.")
    ] = {}
    cwd: Annotated[
        str | None, Meta(description="Its working directory, relative to this file.")
    ] = None
    stop_seconds: Annotated[
        Seconds, Meta(description="Between asking it to stop (SIGTERM) and killing it.")
    ] = 10.0


class Coven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Soulstones that are resident together; one exclusive coven per device at a time."""

    name: Annotated[Name, Meta(description="What `covend swap NAME` calls it.")]
    soulstones: Annotated[
        tuple[str, ...], Meta(min_length=1, description="The soulstones that come and go together.")
    ]
    devices: Annotated[
        tuple[str, ...],
        Meta(description="The devices it occupies; left out: those its soulstones need."),
    ] = ()
    coexists: Annotated[
        tuple[str, ...],
        Meta(description="Covens that may be resident on the same devices at the same time (W3)."),
    ] = ()
    inertia: Annotated[
        Seconds | None,
        Meta(description="Seconds of reluctance to leave; left out: by discipline (W11)."),
    ] = None


class Role(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A capability that several soulstones can fill, best first (W6)."""

    name: Annotated[Capability, Meta(description="What requests ask for, as a model name.")]
    tiers: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="Soulstones, from the best to the smallest."),
    ]


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key, stored as its hash (G7). Made by `covend keys add`."""

    name: Annotated[Name, Meta(description="Whose it is; appears in logs, the key never does.")]
    sha256: Annotated[
        str, Meta(pattern="^[0-9a-f]{64}$", description="What `covend keys hash` prints.")
    ]
    klass: Annotated[
        Class, Meta(description="The priority class of its requests (W7); none may go higher.")
    ] = field(default="reflex", name="class")
    capabilities: Annotated[
        tuple[str, ...],
        Meta(description='Model names it may ask for; "*" stands for any run of characters.'),
    ] = ("*",)
    max_concurrent: Annotated[
        Count | None, Meta(description="Requests in flight at once; left out: no limit.")
    ] = None
    per_minute: Annotated[
        Count | None, Meta(description="Requests per minute; left out: no limit.")
    ] = None


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
        Seconds, Meta(description="Work in flight and no byte for this long is a hard reset.")
    ] = 60.0


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


class Box(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One machine: its devices, its model servers, and how they share it."""

    name: Annotated[Name, Meta(description="The box's name; part of its default folders.")] = "box"
    listen: Annotated[
        str, Meta(description="Where clients connect: `HOST:PORT`; port 0 takes a free one.")
    ] = "127.0.0.1:7878"
    gates: Annotated[int, Meta(ge=1, le=64, description="Gateway processes.")] = 1
    ghouls: Annotated[int, Meta(ge=0, le=64, description="Worker processes for jobs.")] = 1
    ghoul_slots: Annotated[int, Meta(ge=1, le=256, description="Jobs per worker at once.")] = 2
    run_dir: Annotated[
        str,
        Meta(
            description="Sockets and intents, mode 0700. Left out: $XDG_RUNTIME_DIR/covend/NAME, "
            "else /run/covend/NAME for root, else /tmp/covend-UID/NAME."
        ),
    ] = ""
    state_dir: Annotated[
        str,
        Meta(
            description="The database, mode 0700. Left out: $XDG_STATE_HOME/covend/NAME, else "
            "~/.local/state/covend/NAME."
        ),
    ] = ""
    lexical_reserve: Annotated[
        Size,
        Meta(description="Kept free for the lexicon on each device that has one (W1, W5)."),
    ] = 1536 * MIB
    device: tuple[Device, ...] = ()
    soulstone: tuple[Soulstone, ...] = ()
    coven: tuple[Coven, ...] = ()
    role: tuple[Role, ...] = ()
    key: tuple[Key, ...] = ()
    responder: tuple[ResponderEntry, ...] = ()
    whim: Whim = Whim()
    transition: TransitionLimits = TransitionLimits()
    gate: GateLimits = GateLimits()
    watchdog: Watchdog = Watchdog()
    alerts: Alerts = Alerts()
    queries: Queries = Queries()
    phylactery: Records = Records()
    reactor: Reactor = Reactor()
    oculus: Oculus = Oculus()
    source: Annotated[
        str, Meta(extra={"computed": True}, description="The file this was read from.")
    ] = ""

    def reserve_on(self, device: str) -> int:
        """Bytes of the lexical reserve on `device`: all where a lexicon lives, else 0 (W1)."""
        has_lexicon = any(stone.lexicon and device in stone.memory for stone in self.soulstone)
        return self.lexical_reserve if has_lexicon else 0

    def serving(self) -> dict[str, tuple[str, ...]]:
        """Every capability a request may name, with the soulstones that serve it, best first (W6).

        A capability is a soulstone's own name, anything in its ``serves``, or a role.
        """
        found: dict[str, list[str]] = {}
        for stone in self.soulstone:
            for capability in (stone.name, *stone.serves):
                names = found.setdefault(capability, [])
                if stone.name not in names:
                    names.append(stone.name)
        for role in self.role:
            found[role.name] = list(role.tiers)
        return {capability: tuple(names) for capability, names in found.items()}

    def find_soulstone(self, name: str) -> Soulstone | None:
        """The soulstone of that name, or None."""
        return next((stone for stone in self.soulstone if stone.name == name), None)

    def find_coven(self, name: str) -> Coven | None:
        """The coven of that name, or None."""
        return next((coven for coven in self.coven if coven.name == name), None)
