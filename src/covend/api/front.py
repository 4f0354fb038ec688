"""What HTTP asks of every path alike: exact paths, HEAD, OPTIONS, headers of every answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from covend.api.problems import Problem, respond

HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""Of every answer that says nothing else there: what people ask and answer stays in no cache."""


class Front:
    """Stands before the routes: they see a path that is exactly one of theirs, and its methods.

    Of a page of ``pages`` a slash more is forgiven, as people type these.
    """

    def __init__(
        self, app: ASGIApp, routes: Iterable[HTTPRouteHandler], pages: Iterable[str] = ()
    ) -> None:
        self.app = app
        self.typed = {f"{page}/": page for page in pages}
        self.methods: dict[str, set[str]] = {}
        for route in routes:
            for path in route.paths:
                self.methods.setdefault(path, set()).update(map(str, route.http_methods))
        self.paths = {path: _pattern(path) for path in self.methods}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. In the loop that serves."""
        asked = cast("dict[str, Any]", scope)
        send = _with_headers(send)
        path, method = str(asked["path"]), str(asked["method"])
        methods = self.methods_of(path)
        if path in self.typed:
            query = bytes(asked.get("query_string") or b"").decode("latin-1")
            await _send(send, 308, {"location": self.typed[path] + (f"?{query}" if query else "")})
        elif not methods:
            text = f"there is no {path[:100]!r}; /openapi/openapi.json says what there is"
            await _say(send, Problem(404, "not_found", text))
        elif method == "OPTIONS":
            await _send(send, 204, {"allow": ", ".join(methods)})
        elif method not in methods:
            text = f"{method[:20]} is not possible here; there are: {', '.join(methods)}"
            await _say(send, Problem(405, "method_not_allowed", text), allow=", ".join(methods))
        elif method == "HEAD":
            await self.app(cast("Scope", {**asked, "method": "GET"}), receive, _without_body(send))
        else:
            await self.app(scope, receive, send)

    def methods_of(self, path: str) -> list[str]:
        """Every method of a path, none where there is no such path: one slash more is another."""
        found = {
            method
            for template, pattern in self.paths.items()
            if pattern.fullmatch(path)
            for method in self.methods[template]
        }
        if "GET" in found:
            found.add("HEAD")
        return sorted(found | {"OPTIONS"}) if found else []


def _pattern(template: str) -> re.Pattern[str]:
    """Which paths a route's template means; ``{…:path}`` is the rest, slashes and all."""
    parts = [
        ".*[^/].*" if part.endswith(":path}") else "[^/]+" if part[:1] == "{" else re.escape(part)
        for part in re.split(r"({\w+:\w+})", template)
    ]
    return re.compile("".join(parts), re.DOTALL)


def _with_headers(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            more = [(name, value) for name, value in HEADERS if name not in given]
            message["headers"] = [*message["headers"], *more]
        await send(message)

    return told


def _without_body(send: Send) -> Send:
    """Ends the response where its body would begin, which ends a stream as its client would."""
    over = False

    async def told(message: Message) -> None:
        nonlocal over
        if message["type"] != "http.response.body":
            await send(message)
        elif not over:
            over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return told


async def _say(send: Send, problem: Problem, **more: str) -> None:
    response = respond(problem)
    headers = {**response.headers, "content-type": str(response.media_type), **more}
    await _send(send, problem.status, headers, response.content)


async def _send(send: Send, status: int, headers: dict[str, Any], body: bytes = b"") -> None:
    lines = [(name.lower().encode(), str(value).encode("latin-1"))
             for name, value in headers.items()]  # fmt: skip
    if body:
        lines.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body, "more_body": False})
