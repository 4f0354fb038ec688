"""The inbox's web page: three static files, and an index of the API."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler, get

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing but our own files, nothing inline, in nobody's frame: what a task says stays text."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def _file(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    content = files("covend.api").joinpath("page", name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers=headers)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)


@get("/inbox")
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The page."""
    return _file(request, "inbox.html")


@get("/inbox/inbox.css")
async def style(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Its looks."""
    return _file(request, "inbox.css")


@get("/inbox/inbox.js")
async def script(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Its behaviour."""
    return _file(request, "inbox.js")


@get("/inbox/form.js")
async def form(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The form of an answer."""
    return _file(request, "form.js")


@get("/openapi")
async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The operations, for people."""
    return _file(request, "openapi.html")


@get("/openapi/openapi.js")
async def index_script(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What fills that page."""
    return _file(request, "openapi.js")


ROUTES: tuple[HTTPRouteHandler, ...] = (page, style, script, form, index, index_script)
