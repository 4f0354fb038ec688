"""The inbox's web page and the list of operations: static files of this package."""

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
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

INBOX_SCRIPTS = (
    "inbox",
    "box",
    "dom",
    "drafts",
    "fields",
    "form",
    "list",
    "panel",
    "refusal",
    "schema",
    "task",
)


def _file(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    content = files("covend.api").joinpath("page", name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers=headers)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(content, media_type=kind, headers=headers)


def _page(path: str, name: str) -> HTTPRouteHandler:
    """A route to one file."""

    async def serve(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _file(request, name)

    return get(path)(serve)


PAGES = ("/inbox", "/openapi")
"""The paths that people type."""

ROUTES: tuple[HTTPRouteHandler, ...] = (
    _page("/inbox", "inbox.html"),
    _page("/inbox/inbox.css", "inbox.css"),
    *(_page(f"/inbox/{name}.js", f"{name}.js") for name in INBOX_SCRIPTS),
    _page("/inbox/icon.svg", "icon.svg"),
    _page("/openapi", "openapi.html"),
    _page("/openapi/openapi.js", "openapi.js"),
)
