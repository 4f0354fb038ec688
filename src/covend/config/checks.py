"""What must hold between the parts of a box file. Each check reports all it finds."""

from __future__ import annotations

import os
import re
from typing import Any, cast

from covend.config.errors import did_you_mean
from covend.config.folders import MAX_RUN_DIR
from covend.config.query_checks import QueryChecks
from covend.config.sections import INERTIA, SLA, WEIGHTS
from covend.config.structs import Coven
from covend.config.units import show_size

ENDPOINT = re.compile(r"http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._*-]*):([0-9]{1,5})")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Checks(QueryChecks):
    """All checks of one box."""

    def run(self) -> None:
        """Every check, in the order of the file format's description."""
        for check in (
            self.names, self.sections, self.devices, self.endpoints, self.soulstones,
            self.lexicons, self.covens, self.memory, self.reachable, self.roles, self.chat,
            self.responders, self.schemas, self.whim, self.gate, self.folders,
        ):  # fmt: skip
            check()

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


def _same_host(host: str) -> str:
    return "127.0.0.1" if host.lower() in _LOOPBACK else host.lower()
