"""What a path means, and which soulstones can serve what a request names (G1, W6). Pure."""

from __future__ import annotations

import difflib
from typing import NamedTuple
from urllib.parse import urlsplit

from covend.config import Box, Soulstone
from covend.gate.body import spell
from covend.gate.errors import Refusal
from covend.gate.heads import mark


class Route(NamedTuple):
    """One path of the API: the class of its requests where nobody says otherwise (W7)."""

    path: str
    klass: str = "reflex"
    anthropic: bool = False


ROUTES: dict[bytes, Route] = {
    route.path.encode(): route
    for route in (
        Route("/v1/chat/completions"),
        Route("/v1/completions"),
        Route("/v1/responses"),
        Route("/v1/embeddings", "ingest"),
        Route("/v1/rerank"),
        Route("/v2/rerank"),
        Route("/rerank"),
        Route("/v1/audio/speech"),
        Route("/v1/audio/transcriptions"),
        Route("/v1/audio/translations"),
        Route("/v1/images/generations"),
        Route("/v1/images/edits"),
        Route("/v1/images/variations"),
        Route("/v1/messages", anthropic=True),
        Route("/v1/messages/count_tokens", anthropic=True),
    )
}
UPSTREAM = b"/upstream/"
UPSTREAM_CLASS = "reflex"
OWN = (b"/health", b"/v1/models")
RELAYED = (b"/inbox", b"/openapi", b"/api")
"""Pages, and the API of queries with what is below it: the API process answers (decision 0004)."""


def route_of(target: bytes) -> Route | None:
    """The route of a request's target, with or without a query; None where there is none."""
    return ROUTES.get(target) or ROUTES.get(target.partition(b"?")[0])


class Target(NamedTuple):
    """One soulstone as the gate reaches it; a request line stands around the client's path."""

    name: str
    host: str
    port: int
    before_path: bytes
    after_path: bytes
    model: str
    spelled: tuple[bytes, bytes]
    slots: int


def target(stone: Soulstone) -> Target:
    """The address of a soulstone, taken apart once."""
    url = urlsplit(stone.endpoint)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    slots = 1 if stone.discipline == "titan" else stone.slots
    model = stone.model or stone.name
    return Target(
        stone.name,
        host,
        port,
        f" {url.path.rstrip('/')}".encode(),
        f" HTTP/1.1\r\nHost: {url.netloc}\r\n".encode(),
        model,
        spell(model),
        slots,
    )


class Routing:
    """Look-ups over one configuration; replaced as a whole on reload (G10)."""

    def __init__(self, box: Box) -> None:
        self.targets = {stone.name: target(stone) for stone in box.soulstone}
        self.serving = box.serving()
        """Capability → soulstones that serve it, best first (W6)."""
        self.marks: dict[tuple[str, str], bytes] = {}

    def tier(self, capability: str, soulstone: str) -> int:
        """The place of a soulstone among those that serve a capability; 0 is the best (W6)."""
        names = self.serving.get(capability, ())
        return names.index(soulstone) if soulstone in names else 0

    def mark(self, capability: str, soulstone: str) -> bytes:
        """The lines of an answer's head that say who answered (G5), made once each."""
        known = self.marks.get((capability, soulstone))
        if known is None:
            known = mark(soulstone, self.tier(capability, soulstone))
            self.marks[capability, soulstone] = known
        return known

    def unknown(self, capability: str) -> Refusal:
        """The answer to a name that nothing serves."""
        shown = capability if len(capability) <= 100 else capability[:99] + "…"
        close = difflib.get_close_matches(capability[:100], self.serving, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "GET /v1/models lists what there is"
        return Refusal(
            404,
            "model_not_found",
            f"$.model: {shown!r} is no model, alias or role of this box; {hint}",
            where="$.model",
        )

    def upstream(self, path: bytes) -> tuple[str, bytes]:
        """The soulstone and the path behind ``/upstream/NAME/…``; raises ``Refusal`` (404)."""
        name, slash, rest = path[len(UPSTREAM) :].partition(b"/")
        text = name.decode("ascii", "replace")
        if text not in self.targets:
            names = ", ".join(sorted(self.targets)) or "none"
            raise Refusal(
                404,
                "no_such_soulstone",
                f"{text[:100]!r} is no soulstone of this box; there are: {names}",
                where="path",
            )
        return text, (slash or b"/") + rest


def no_such_path(path: bytes) -> Refusal:
    """The answer for every path that is not the gate's."""
    shown = path[:100].decode("ascii", "replace")
    pages = ", ".join(path.decode() for path in RELAYED)
    known = ", ".join(sorted(r.decode() for r in (*ROUTES, *OWN)))
    return Refusal(
        404,
        "no_such_path",
        f"{shown} is no path of this gate; there are: {pages}/…, {known}, /upstream/NAME/…",
        where="path",
    )
