"""``/api/responders``: who can be asked."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from covend.api.operations import OPERATORS, Call, Nothing, operation, reply
from covend.api.problems import Problem, malformed
from covend.api.shapes import shaped
from covend.client.models import Fault, ProblemDetails, Responders
from covend.patterns.responders.responder import KnownResponder
from covend.questions import ListResponders, PutResponder, RemoveResponder
from covend.resolving import resolved

FILE_ONLY = {
    "command": "commands are run as the box's user",
    "api_key_env": "a variable of the box would be sent to an endpoint",
}
"""What only the configuration file may say of a responder, and why."""
VARIABLE = "{env:"
"""And in its channels: a variable of the box would be sent to whoever is at the address."""
PATH = "/api/responders/"


class Registration(KnownResponder, frozen=True, kw_only=True):
    """A responder as it is registered: the path says its id, and so may the body.

    It may be a copy of what was shown: ``missing_env`` is the box's to say, and not looked at.
    """

    id: str = ""


@operation("GET", "/api/responders", "Who can be asked", answers={200: Responders})
async def listing(call: Call[Nothing, Nothing]) -> Response[Any]:
    """Every responder, with trust and delays as learned."""
    return reply(Responders(responders=await _known(call)))


@operation("GET", PATH + "{id}", "One responder", slashes=True,
           answers={200: KnownResponder, 404: ProblemDetails},
           about="Its channels are left out for a key that names a did.")  # fmt: skip
async def show(call: Call[Nothing, Nothing]) -> Response[Any]:
    """One responder."""
    return reply(await _find(call))


@operation(
    "PUT",
    PATH + "{id}",
    "Register or change a responder",
    slashes=True,
    body=Registration,
    unread=True,
    answers={200: KnownResponder, 409: ProblemDetails, 422: ProblemDetails},
    about="It goes before one of the same id in the configuration file, which only the file can "
    "retire: that is refused with 409. A model of this box must be one that it serves; ids that "
    "begin with `model:` are the box's own. "
    f"{OPERATORS}",
)
async def put(call: Call[Nothing, Any]) -> Response[Any]:
    """Register a responder, or change what is registered under its id (P8)."""
    call.operators()
    name = call.rest(PATH)
    try:
        given = msgspec.convert({"id": name, **call.body}, resolved(KnownResponder))
    except msgspec.ValidationError as error:
        raise malformed(error, "body", KnownResponder) from error
    wanted = msgspec.structs.replace(given, missing_env=())
    faults = [
        Fault(path=f"$.{member}", problem=f"only the configuration file may set it: {why}")
        for member, why in FILE_ONLY.items()
        if getattr(wanted, member)
    ]
    text = f"only the configuration file may have {VARIABLE}…}}: it would be sent to this address"
    faults += [
        Fault(path=f"$.channels[{place}]", problem=text)
        for place, channel in enumerate(wanted.channels)
        if VARIABLE in channel
    ]
    if wanted.id != name:
        faults.append(Fault(path="$.id", problem=f"it must be {name!r}, as in the path"))
    if faults:
        raise Problem(422, "invalid_responder", "this responder cannot be registered", faults)
    await call.desk.ask(PutResponder(msgspec.to_builtins(wanted)))
    return reply(await _find(call))


@operation(
    "DELETE",
    PATH + "{id}",
    "Retire a responder",
    slashes=True,
    answers={204: None, 404: ProblemDetails, 409: ProblemDetails},
    about="One that was registered is asked no more; where it was registered over one of the "
    "configuration file, that is in force again. One of the file is refused with 409, which names "
    "the file: it goes from there. "
    f"{OPERATORS}",
)
async def remove(call: Call[Nothing, Nothing]) -> Response[Any]:
    """Ask it no more; runs that asked it already go on."""
    call.operators()
    await call.desk.ask(RemoveResponder(call.rest(PATH)))
    return Response(None, status_code=204)


async def _find(call: Call[Any, Any]) -> KnownResponder:
    name = call.rest(PATH)
    found = next((one for one in await _known(call) if one.id == name), None)
    if found is None:
        raise Problem(404, "not_found", f"{name[:100]!r} is no responder of this box")
    return found


async def _known(call: Call[Any, Any]) -> tuple[KnownResponder, ...]:
    """Every responder as this key may see it: how people are reached is the operators' (P18)."""
    known = shaped(await call.desk.ask(ListResponders()), Responders).responders
    if not call.personal:
        return known
    return tuple(msgspec.structs.replace(one, channels=(), missing_env=()) for one in known)


ROUTES: tuple[HTTPRouteHandler, ...] = (listing, show, put, remove)
