"""The application: every route, how errors are said, and the inbox's page."""

from __future__ import annotations

import logging
from typing import Any, cast

import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler, get
from litestar.types import ASGIApp

from covend.api import inbox, pages, queries, responders
from covend.api.desk import Desk
from covend.api.document import document
from covend.api.front import Front
from covend.api.operations import Operation
from covend.api.problems import Problem, on_http_error, on_problem, respond
from covend.questions import MAX_BYTES

log = logging.getLogger(__name__)

ROUTES: tuple[HTTPRouteHandler, ...] = (*queries.ROUTES, *inbox.ROUTES, *responders.ROUTES)


def build(desk: Desk, max_body: int) -> ASGIApp:
    """The application of one box; ``max_body`` is in bytes, and never more than the core takes."""
    routes = [*ROUTES, *pages.ROUTES, openapi]
    app = Litestar(
        routes,
        state=State({"desk": desk}),
        exception_handlers=cast(
            "dict[Any, Any]",
            {Problem: on_problem, HTTPException: on_http_error, Exception: on_failure},
        ),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=min(max_body, MAX_BYTES),
    )
    return Front(cast("ASGIApp", app), routes, pages.PAGES)


def operations() -> list[Operation]:
    """What the API can do."""
    return [cast("Operation", route.opt["operation"]) for route in ROUTES]


def on_failure(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Whatever else went wrong here: logged, and told without its insides."""
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    text = f"the API failed at this ({type(error).__name__}); its log says more"
    return respond(Problem(500, "api_failed", text))


@get("/openapi/openapi.json")
async def openapi() -> Response[bytes]:
    """The OpenAPI document."""
    content = msgspec.json.encode(document(operations()))
    return Response(content, media_type="application/json")
