"""API keys: who asks, in which class, for what, how often (G7, W7)."""

from __future__ import annotations

import hashlib
import ipaddress
from fnmatch import fnmatchcase
from pathlib import Path

from covend.config import Box, Key
from covend.gate.errors import Refusal
from covend.gate.tally import Tally
from covend.protocol import CLASSES

RANK = {klass: rank for rank, klass in enumerate(CLASSES)}


class Account:
    """One key and what is going on under it, at all gates of the box."""

    __slots__ = ("key", "tally")

    def __init__(self, key: Key, tally: Tally) -> None:
        self.key = key
        self.tally = tally

    def begin(self, capability: str, now: float) -> None:
        """Count a request; raises ``Refusal`` (403, 429) where the key does not allow it (G7)."""
        key = self.key
        if not any(fnmatchcase(capability, pattern) for pattern in key.capabilities):
            raise Refusal(
                403,
                "capability_not_allowed",
                f"the key {key.name!r} may not ask for {capability!r}; "
                f"it may ask for: {', '.join(key.capabilities)}",
                where="$.model",
            )
        tally = self.tally
        tally.enter()
        if key.max_concurrent is not None and tally.active > key.max_concurrent:
            tally.leave()
            raise Refusal(
                429,
                "too_many_at_once",
                f"the key {key.name!r} has {tally.active} requests in hand; "
                f"its limit is {key.max_concurrent}",
                retry_after=1,
            )
        if key.per_minute is not None:
            tally.note(now)
            made, seconds = tally.minute(now)
            if made > key.per_minute:
                tally.note(now, -1)
                tally.leave()
                raise Refusal(
                    429,
                    "too_many_per_minute",
                    f"the key {key.name!r} may make {key.per_minute} requests a minute",
                    retry_after=seconds,
                )

    def end(self) -> None:
        """The request is over, however it ended."""
        self.tally.leave()


class Keys:
    """The keys of one configuration; ``previous`` hands on the counts of keys that stay (G10).

    ``gate`` is the name of the gate that asks: where there are several, they count together.
    """

    def __init__(self, box: Box, previous: Keys | None = None, gate: str = "gate-0") -> None:
        self.require_on_loopback = box.gate.require_key_on_loopback
        self.place = previous.place if previous else (Path(box.run_dir), box.gates, gate)
        known = previous.accounts if previous else {}
        self.accounts: dict[str, Account] = {}
        for key in box.key:
            account = known.get(key.sha256) or Account(key, self.tally(key, begins=not previous))
            account.key = key
            self.accounts[key.sha256] = account

    def tally(self, key: Key, begins: bool) -> Tally:
        """The counters of a key; a gate that begins has nothing in hand under it."""
        folder, gates, gate = self.place
        number = int(gate.rpartition("-")[2])
        path = folder / f"key-{key.sha256[:32]}.tally" if gates > 1 else None
        tally = Tally(path, gates, number)
        if begins:
            tally.restart()
        return tally

    def account(self, credential: bytes | None, loopback: bool) -> Account | None:
        """Whose request this is; None is anybody on this machine. Raises ``Refusal`` (401)."""
        if credential is not None and self.accounts:
            found = self.accounts.get(hashlib.sha256(credential).hexdigest())
            if found is not None:
                return found
        if loopback and not self.require_on_loopback:
            return None  # clients of this machine often send a placeholder for a key
        what = "no API key" if credential is None else "an API key that this box does not know"
        hint = "" if self.accounts else "; it has none yet: `covend keys add` makes one"
        raise Refusal(
            401,
            "invalid_api_key",
            f"the request has {what}; send one of this box as `Authorization: Bearer KEY`{hint}",
            where="Authorization",
        )


def credential(authorization: bytes | None, x_api_key: bytes | None) -> bytes | None:
    """The key in a request's headers: a bearer token, or Anthropic's ``x-api-key``."""
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip()
    return x_api_key


def effective_class(account: Account | None, header: bytes | None, route: str) -> str:
    """The class of a request: the key's, else the header's, else the route's (W7).

    A header may lower the class below the key's, never raise it above.
    Raises ``Refusal`` (400) for a class that does not exist.
    """
    asked: str | None = None
    if header is not None:
        asked = header.decode("ascii", "replace").lower()
        if asked not in RANK:
            raise Refusal(
                400,
                "no_such_class",
                f"X-Covend-Class: {asked[:40]!r} is no class; there are: {', '.join(CLASSES)}",
                where="X-Covend-Class",
            )
    if account is None:
        return asked or route
    own = account.key.klass
    return asked if asked is not None and RANK[asked] > RANK[own] else own


def is_loopback(peer: object) -> bool:
    """Whether a socket's peer name is on this machine."""
    if not isinstance(peer, tuple) or not peer:
        return True  # a unix socket
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])  # pyright: ignore[reportUnknownArgumentType]
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
