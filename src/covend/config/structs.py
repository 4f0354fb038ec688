"""What a box consists of, as its file says: one frozen struct per table.

Field names are the keys of the TOML file. Sizes are bytes, times are seconds; a file may write
both with a unit (`"1.5GiB"`, `"15min"`). After `covend.config.load` every default is filled in,
every path is absolute and every placeholder is expanded, so that readers never see an empty
`run_dir`, `endpoint`, `model`, `serves` or `devices`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from covend.config.queries import Queries, Records, ResponderEntry, SchemaEntry
from covend.config.sections import (
    Alerts,
    GateLimits,
    Oculus,
    Reactor,
    TransitionLimits,
    Watchdog,
    Whim,
)
from covend.config.types import (
    MIB,
    Capability,
    Class,
    Count,
    Did,
    Discipline,
    Name,
    Seconds,
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
    chat: Annotated[
        bool,
        Meta(
            description="Whether it answers chat requests. `false` for one that only embeds, ranks "
            "or transcribes: no query asks it (P8)."
        ),
    ] = True
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
    did: Annotated[
        Did | None,
        Meta(
            description="The person or agent it speaks for: in the inbox it sees and acts as this "
            "did alone, it lists no queries and cancels its own only, and changes no responder. "
            "Left out: the operator's own, for every did."
        ),
    ] = None


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
    schema: tuple[SchemaEntry, ...] = ()
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

    def answering(self) -> dict[str, tuple[str, ...]]:
        """Those of ``serving`` that a query may ask: all soulstones answer chat requests (P8)."""
        chatting = {stone.name for stone in self.soulstone if stone.chat}
        serving = self.serving()
        return {name: serving[name] for name in serving if chatting.issuperset(serving[name])}

    def schemas(self) -> dict[str, Any]:
        """The JSON Schemas that queries may name, decoded."""
        return {entry.name: msgspec.json.decode(entry.json) for entry in self.schema}

    def find_soulstone(self, name: str) -> Soulstone | None:
        """The soulstone of that name, or None."""
        return next((stone for stone in self.soulstone if stone.name == name), None)

    def find_coven(self, name: str) -> Coven | None:
        """The coven of that name, or None."""
        return next((coven for coven in self.coven if coven.name == name), None)
