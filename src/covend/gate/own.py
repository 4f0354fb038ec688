"""What the gate answers itself: its health, the models there are, and methods that are not (G1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from covend.gate.admission import Desk
from covend.gate.client import Client
from covend.gate.errors import Refusal
from covend.gate.request import Request
from covend.gate.routes import Routing

MODELS = b"/v1/models"


def is_get(client: Client, request: Request) -> bool:
    """Whether to go on; any other method is answered here, or refused (405)."""
    if request.head.method in (b"GET", b"HEAD"):
        return True
    not_allowed(client, request, "GET, HEAD, OPTIONS")
    return False


def not_allowed(client: Client, request: Request, allow: str) -> None:
    """Answer OPTIONS; raise ``Refusal`` (405) for every other method."""
    if request.head.method == b"OPTIONS":
        client.answer(request, 204, b"", [("Allow", allow)])
        return
    method = request.head.method.decode("ascii", "replace")
    text = f"{method} is not possible here; there are: {allow}"
    raise Refusal(405, "method_not_allowed", text, where="request line", allow=allow)


def health(name: str, desk: Desk) -> bytes:
    """``/health``: that the gate lives, and what it serves."""
    return msgspec.json.encode(
        {
            "status": "ok",
            "gate": name,
            "open": sorted(name for name, stone in desk.stones.items() if stone.open),
            "in_flight": sum(stone.used for stone in desk.stones.values()),
            "waiting": len(desk.waiting),
        }
    )


def is_models(path: bytes) -> bool:
    """Whether this is ``/v1/models`` or a path below it."""
    return path == MODELS or path.startswith(MODELS + b"/")


def models(path: bytes, routing: Routing, desk: Desk, eta: Mapping[str, float]) -> bytes:
    """``/v1/models``, or the one model that ``path`` names; raises ``Refusal`` (404)."""
    if path in (MODELS, MODELS + b"/"):
        data = [_model(name, desk, eta) for name in routing.serving]
        return msgspec.json.encode({"object": "list", "data": data})
    name = path[len(MODELS) + 1 :].decode("utf-8", "replace")
    if name not in routing.serving:
        raise routing.unknown(name)
    return msgspec.json.encode(_model(name, desk, eta))


def _model(name: str, desk: Desk, eta: Mapping[str, float]) -> dict[str, Any]:
    stones = desk.candidates[name]
    free = any(stone.open and stone.used < stone.slots for stone in stones)
    state = "open" if free else "full" if any(stone.open for stone in stones) else "cold"
    covend: dict[str, Any] = {"state": state, "soulstones": [stone.name for stone in stones]}
    if state == "cold" and name in eta:
        covend["eta"] = eta[name]
    return {"id": name, "object": "model", "created": 0, "owned_by": "covend", "covend": covend}
