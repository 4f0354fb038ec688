"""What must hold between the parts of a box file. Each check reports all it finds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec

from covend import functions
from covend.config.convert import Converter, Report
from covend.config.errors import Path, answers_no_chat, did_you_mean
from covend.config.folders import MAX_RUN_DIR
from covend.config.queries import ResponderEntry
from covend.config.sections import INERTIA, SLA, WEIGHTS
from covend.config.structs import Box, Coven
from covend.config.units import show_size
from covend.phylactery.canonical import NotCanonical

ENDPOINT = re.compile(r"http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._*-]*):([0-9]{1,5})")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Checks:
    """The checks of one box; `raw` is the document, `converter` knows where its parts stood."""

    def __init__(
        self, box: Box, raw: Mapping[str, Any], converter: Converter, report: Report
    ) -> None:
        self.box = box
        self.raw = raw
        self.where = converter.where
        self.failed = converter.failed
        self.report = report
        self.stones = {stone.name: stone for stone in box.soulstone}

    def run(self) -> None:
        """Every check, in the order of the file format's description."""
        for check in (
            self.names, self.sections, self.devices, self.endpoints, self.soulstones,
            self.lexicons, self.covens, self.memory, self.reachable, self.roles, self.chat,
            self.responders, self.schemas, self.whim, self.gate, self.folders,
        ):  # fmt: skip
            check()

    def path(self, part: msgspec.Struct, *more: str | int) -> Path:
        return (*self.where[id(part)], *more)

    def sound(self, path: Path, *keys: str) -> bool:
        """Whether these keys mean what the file says: what did not convert has its default."""
        return not any(
            failed[: len(path) + 1] == (*path, key) for failed in self.failed for key in keys
        )

    def declared(self, kind: str) -> list[str]:
        """Names in the document, also of parts that are wrong otherwise: they are not unknown."""
        parts: Any = self.raw.get(kind, ())
        if not isinstance(parts, list):
            return []
        tables = [cast(dict[str, Any], p) for p in cast(list[Any], parts) if isinstance(p, dict)]
        return [table["name"] for table in tables if isinstance(table.get("name"), str)]

    def refer(self, kind: str, names: Iterable[str], path: Callable[[str, int], Path]) -> None:
        known = self.declared(kind)
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name not in known:
                hint = did_you_mean(name, known) or f"; this file declares no [[{kind}]]"
                self.report(path(name, index), f"no {kind} is named {name!r}{hint}")
            elif name in seen:
                self.report(path(name, index), f"{name!r} is listed twice")
            seen.add(name)

    def names(self) -> None:
        for kind in ("device", "soulstone", "coven", "role", "key", "responder", "schema"):
            first: dict[str, int] = {}
            parts: Any = self.raw.get(kind, ())
            for index, part in enumerate(cast(list[Any], parts) if isinstance(parts, list) else ()):
                name = cast(dict[str, Any], part).get("name") if isinstance(part, dict) else None
                if not isinstance(name, str):
                    continue
                if name in first:
                    self.report(
                        (kind, index, "name"),
                        f"{name!r} is the name of $.{kind}[{first[name]}] already",
                    )
                first.setdefault(name, index)
        first_key: dict[str, str] = {}
        for key in self.box.key:
            if key.sha256 in first_key:
                self.report(
                    self.path(key, "sha256"), f"the same key is given to {first_key[key.sha256]!r}"
                )
            first_key.setdefault(key.sha256, key.name)

    def sections(self) -> None:
        for kind, why in (
            (
                "device",
                "a box needs at least one device; `covend init` finds those of this machine",
            ),
            ("soulstone", "a box needs at least one soulstone: a model server to route to"),
        ):
            if not self.raw.get(kind):
                self.report((), f"no [[{kind}]]: {why}")

    def devices(self) -> None:
        cards: dict[object, str] = {}
        for device in self.box.device:
            if not self.sound(self.path(device), "kind", "index", "uuid"):
                continue
            if device.kind == "host" and (device.uuid is not None or device.index != 0):
                self.report(
                    self.path(device), "a host device is the machine's RAM: it has no index or uuid"
                )
            card = ("host",) if device.kind == "host" else (device.uuid or device.index,)
            if card in cards:
                self.report(self.path(device), f"is the same hardware as device {cards[card]!r}")
            cards.setdefault(card, device.name)

    def endpoints(self) -> None:
        users: dict[tuple[str, str], str] = {}
        match = _LISTEN.fullmatch(self.box.listen)
        if match is None or int(match[2]) > 65535:
            self.report(
                ("listen",),
                f'must be "HOST:PORT", such as "127.0.0.1:7878", not {self.box.listen!r}',
            )
        elif match[2] != "0":
            everywhere = match[1] in ("", "*", "0.0.0.0", "[::]")
            for host in _LOOPBACK if everywhere else (_same_host(match[1]),):
                users[_same_host(host), match[2]] = "the gate's own `listen`"
        for stone in self.box.soulstone:
            match = ENDPOINT.fullmatch(stone.endpoint)
            if match is None or not 0 < int(match[2]) < 65536:
                self.report(
                    self.path(stone, "endpoint"),
                    'must be "http://HOST:PORT" and nothing behind it, such as '
                    f'"http://127.0.0.1:8001", not {stone.endpoint!r}',
                )
                continue
            place = (_same_host(match[1]), match[2])
            if place in users:
                self.report(
                    self.path(stone, "endpoint"),
                    f"is used by {users[place]} already; take another port",
                )
            users.setdefault(place, f"soulstone {stone.name!r}")

    def soulstones(self) -> None:
        for stone in self.box.soulstone:
            self.refer(
                "device", stone.memory, lambda name, _, s=stone: self.path(s, "memory", name)
            )
            at = self.path(stone)
            if stone.authority == "shared":
                if stone.command:
                    self.report(
                        self.path(stone, "command"),
                        "a shared soulstone is never started by covend (W4); remove the command, "
                        'or set authority = "exclusive"',
                    )
            else:
                if not stone.command and self.sound(at, "command", "authority"):
                    self.report(
                        self.path(stone),
                        "'command' is missing: an exclusive soulstone needs what starts it "
                        '(or set authority = "shared")',
                    )
                if not any(stone.memory.values()) and self.sound(at, "memory", "authority"):
                    self.report(
                        self.path(stone),
                        "'memory' is missing: what it needs per device, such as "
                        f'{{ {self.a_device()} = "4GiB" }}',
                    )
            if not self.sound(at, "discipline", "slots"):
                continue
            if stone.discipline == "titan" and stone.slots != 1:
                self.report(
                    self.path(stone, "slots"),
                    f"a titan serves one request at a time; set slots = 1, or discipline = "
                    f'"kinetic" if its server really takes {stone.slots} at once',
                )
            if stone.discipline != "titan" and stone.slots == 1:
                self.report(
                    self.path(stone, "slots"),
                    f"a {stone.discipline} soulstone serves several requests at once; say how many "
                    '(slots = 4), or set discipline = "titan"',
                )

    def a_device(self) -> str:
        return self.box.device[0].name if self.box.device else "gpu0"

    def lexicons(self) -> None:
        lexicons = [stone for stone in self.box.soulstone if stone.lexicon]
        for device in self.box.device:
            need = sum(stone.memory.get(device.name, 0) for stone in lexicons)
            reserve = self.box.lexical_reserve
            if need > reserve:
                self.report(
                    self.path(next(s for s in lexicons if device.name in s.memory), "memory"),
                    f"the lexicon needs {show_size(need)} on {device.name!r}, more than the "
                    f"lexical_reserve of {show_size(reserve)} it lives in (W5)",
                )

    def covens(self) -> None:
        for coven in self.box.coven:
            self.refer(
                "soulstone", coven.soulstones, lambda _, i, c=coven: self.path(c, "soulstones", i)
            )
            self.refer("device", coven.devices, lambda _, i, c=coven: self.path(c, "devices", i))
            self.refer("coven", coven.coexists, lambda _, i, c=coven: self.path(c, "coexists", i))
            if coven.name in coven.coexists:
                self.report(self.path(coven, "coexists"), "a coven always coexists with itself")
            for index, name in enumerate(coven.soulstones):
                stone = self.stones.get(name)
                if stone is None:
                    continue
                place = self.path(coven, "soulstones", index)
                if stone.lexicon:
                    self.report(
                        place,
                        f"{name!r} is the lexicon: it is always resident and never evicted (W5), "
                        "so it belongs to no coven",
                    )
                elif stone.authority == "shared":
                    self.report(
                        place,
                        f"{name!r} is shared: covend never starts or stops it (W4), so it belongs "
                        "to no coven",
                    )
                elif coven.devices:
                    for device in stone.memory.keys() - set(coven.devices):
                        self.report(
                            self.path(coven, "devices"),
                            f"lacks {device!r}, which its soulstone {name!r} needs",
                        )

    def memory(self) -> None:
        """The budget a file can know of: capacity − lexical reserve − shared soulstones (W1)."""
        for device in self.box.device:
            if device.capacity is None:
                continue
            reserve = self.box.reserve_on(device.name)
            shared = sum(
                stone.memory.get(device.name, 0)
                for stone in self.box.soulstone
                if stone.authority == "shared" and not stone.lexicon
            )
            budget = device.capacity - reserve - shared
            for coven in self.box.coven:
                need = self.need(coven, device.name)
                if need > budget:
                    self.report(
                        self.path(coven),
                        f"needs {show_size(need)} on {device.name!r}, whose budget is "
                        f"{show_size(budget)}: capacity {show_size(device.capacity)} − lexical "
                        f"reserve {show_size(reserve)} − shared soulstones {show_size(shared)}"
                        " (W1)",
                    )

    def need(self, coven: Coven, device: str) -> int:
        stones = (self.stones.get(name) for name in dict.fromkeys(coven.soulstones))
        return sum(stone.memory.get(device, 0) for stone in stones if stone is not None)

    def reachable(self) -> None:
        used = {name for coven in self.box.coven for name in coven.soulstones}
        broken = len(self.box.coven) != len(self.declared("coven"))
        for stone in self.box.soulstone:
            waits = stone.authority == "exclusive" and not stone.lexicon
            known = not broken and self.sound(self.path(stone), "authority", "lexicon")
            if waits and stone.name not in used and known:
                self.report(
                    self.path(stone),
                    f"is in no coven, so it could never be loaded; add [[coven]] name = "
                    f'"{stone.name}", soulstones = ["{stone.name}"]',
                )

    def roles(self) -> None:
        served = {name: stone.name for stone in self.box.soulstone for name in stone.serves}
        served |= {name: name for name in self.stones}
        for role in self.box.role:
            self.refer("soulstone", role.tiers, lambda _, i, r=role: self.path(r, "tiers", i))
            if role.name in served:
                self.report(
                    self.path(role, "name"),
                    f"soulstone {served[role.name]!r} serves {role.name!r} itself; "
                    "a role needs a name of its own",
                )

    def chat(self) -> None:
        """Behind one name all soulstones answer chat requests, or none: else some fail (P8)."""
        roles = {role.name: role for role in self.box.role}
        for capability, names in self.box.serving().items():
            known = [self.stones[name] for name in names if name in self.stones]
            silent = [s for s in known if not s.chat]
            chatting = [s for s in known if s.chat and self.sound(self.path(s), "chat")]
            if not (silent and chatting):
                continue
            if capability in roles:
                place = self.path(roles[capability], "tiers")
            else:
                last = [stone for stone in known if capability in stone.serves][-1]
                place = self.path(last, "serves", last.serves.index(capability))
            self.report(
                place,
                f"{chatting[0].name!r} answers chat requests, {silent[0].name!r} does not (chat = "
                f"false), and one for {capability!r} may go to either; give each a name of its own",
            )

    def silent(self, capability: str) -> bool:
        """Whether nothing that is known to serve this answers chat requests."""
        known = [self.stones[n] for n in self.box.serving()[capability] if n in self.stones]
        return bool(known) and not any(stone.chat for stone in known)

    def responders(self) -> None:
        for entry in self.box.responder:
            at = self.path(entry)
            if not self.sound(at, "kind", "model", "function", "command", "url", "did"):
                continue
            if lack := _lack(entry):
                self.report(at, lack)
            serving = self.box.serving()
            elsewhere = entry.endpoint is not None or not self.sound(at, "endpoint")
            local = entry.model if entry.kind == "llm" and not elsewhere else None
            if local is not None and local not in serving:
                hint = did_you_mean(local, serving)
                self.report(
                    (*at, "model"),
                    f"no soulstone of this box serves {local!r}{hint}; a model elsewhere "
                    "needs its 'endpoint'",
                )
            elif local is not None and self.silent(local):
                self.report((*at, "model"), answers_no_chat(local, self.box.answering()))
            if entry.function is not None and (problem := functions.problem(entry.function)):
                self.report((*at, "function"), problem)
            for key in ("endpoint", "url"):
                address = getattr(entry, key)
                if address is not None and not address.startswith(("http://", "https://")):
                    self.report((*at, key), "must begin with http:// or https://")

    def schemas(self) -> None:
        for entry in self.box.schema:
            if not self.sound(self.path(entry), "json"):
                continue
            from covend.patterns.query.shape import (
                schema_problem,  # few boxes have any: it takes a while
            )

            try:
                problem = schema_problem(msgspec.json.decode(entry.json))
            except (msgspec.DecodeError, NotCanonical) as error:
                problem = str(error)
            if problem is not None:
                self.report(self.path(entry, "json"), f"is no JSON Schema: {problem}")

    def whim(self) -> None:
        whim = self.box.whim
        for key, table, known in (
            ("weights", whim.weights, WEIGHTS),
            ("inertia", whim.inertia, INERTIA),
            ("sla", whim.sla, SLA),
        ):
            for name, value in table.items():
                if name not in known:
                    self.report(("whim", key, name), f"unknown{did_you_mean(name, known)}")
                elif key == "weights" and value <= 0:
                    self.report(("whim", key, name), f"must be more than 0, not {value}")
        shares = self.sound(("whim",), "budget_low", "budget_high")
        if shares and whim.budget_low >= whim.budget_high:
            self.report(
                ("whim", "budget_low"),
                f"must be less than budget_high ({whim.budget_high}), not {whim.budget_low}",
            )
        kappas = self.sound(("whim",), "kappa_dominant", "kappa_dominant_max")
        if kappas and whim.kappa_dominant > whim.kappa_dominant_max:
            self.report(
                ("whim", "kappa_dominant"),
                f"must be at most kappa_dominant_max ({whim.kappa_dominant_max}), "
                f"not {whim.kappa_dominant}",
            )
        for index, window in enumerate(whim.ingest_windows):
            if not self.sound(("whim", "ingest_windows", index), "start", "end", "backlog"):
                continue
            if bool(window.start) != bool(window.end) or not (window.start or window.backlog):
                self.report(
                    ("whim", "ingest_windows", index), "needs both start and end, or a backlog"
                )

    def gate(self) -> None:
        gate = self.box.gate
        paired = (gate.tls_cert is None) == (gate.tls_key is None)
        if not paired and self.sound(("gate",), "tls_cert", "tls_key"):
            given, lacking = (
                ("tls_cert", "tls_key") if gate.tls_key is None else ("tls_key", "tls_cert")
            )
            self.report(("gate", given), f"needs {lacking} beside it")

    def folders(self) -> None:
        size = len(os.fsencode(self.box.run_dir))
        if size > MAX_RUN_DIR:
            self.report(
                ("run_dir",),
                f"{self.box.run_dir!r} has {size} bytes; sockets below it need it to have at most "
                f"{MAX_RUN_DIR}",
            )


def _lack(entry: ResponderEntry) -> str | None:
    """What a responder of this kind cannot do without (P8)."""
    has, lack = {
        "llm": (bool(entry.model), "an llm needs its 'model'"),
        "pattern": (bool(entry.function), "a pattern needs its 'function'"),
        "system": (
            bool(entry.command) != bool(entry.url),
            "a system needs either a 'command' or a 'url'",
        ),
        "actor": (bool(entry.did), "an actor needs its 'did'"),
    }[entry.kind]
    return None if has else lack


def _same_host(host: str) -> str:
    return "127.0.0.1" if host.lower() in _LOOPBACK else host.lower()
