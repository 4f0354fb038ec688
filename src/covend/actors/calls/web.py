"""Calls that go out as HTTP requests: to endpoints of models and to urls (P8)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from os import environ
from typing import Any
from urllib.parse import urlsplit

import httpx

from covend.actors.calls import replies
from covend.actors.calls.quoted_keys import LEAST_IN_ANSWER, without
from covend.actors.calls.replies import answered, failed, first, parsed, too_much
from covend.client.requests import is_local
from covend.patterns.answers.understanding import Raw

COMPLAINT_BYTES = 64 * 1024
"""So much is read of what comes with a status that is no success."""
COMPLAINT_SECONDS = 5.0
"""For so long that is waited for: the status says enough."""
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0)
"""The courier bounds how many requests are out. An idle connection is closed before its server
does so (5 s are usual): a request that meets that moment is lost, and nobody knows how far it came.
"""
RETRY_AFTER = frozenset({429, 503})
"""HTTP statuses with which a server may say when to come again."""
MAX_RETRY_AFTER = 3600.0


class NotSent(Exception):
    """A request cannot be made of this; the argument says why, and holds no key."""


class Web:
    """Requests with two sets of connections, as no proxy is asked for what is on this machine.

    Made and used in one event loop, and closed there.
    """

    def __init__(self) -> None:
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def post(
        self, url: str, body: Mapping[str, Any], key: str, seconds: float, variable: str | None
    ) -> Raw:
        """POST JSON under an idempotency key; what came back, or how it failed, within the time.

        ``variable`` names the environment variable with the bearer token, where one is wanted.
        Once a connection stands the request may have arrived: what fails then is indeterminate
        (P4). No text that is told has the token in it.
        """
        try:
            token, near = bearer(variable), _near(url)
        except NotSent as why:
            return Raw(failure=str(why), transport=False)
        sent = {"Idempotency-Key": key, "Accept-Encoding": "identity"}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            async with (
                asyncio.timeout(seconds),
                self._client(near).stream(
                    "POST", url, json=body, headers=sent, timeout=seconds
                ) as response,
            ):
                return await _read(response, token)
        except TimeoutError:
            text = f"no answer within {seconds:.1f} s"
            return Raw(failure=text, transport=False, indeterminate=True)
        except httpx.LocalProtocolError:  # whose text quotes the header that it is about
            hint = f"; look at the value of {variable}" if token else ""
            return Raw(failure=f"this cannot be sent as HTTP{hint}", transport=False)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            return failed(error, transport=False)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            return _not_connected(error)
        except httpx.HTTPError as error:
            raw = failed(error, indeterminate=True)  # its text may quote what the server sent
            text = without(token, str(raw.failure).encode()).decode()
            return Raw(failure=text, indeterminate=True)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    def _client(self, near: bool) -> httpx.AsyncClient:
        if near not in self._clients:
            self._clients[near] = httpx.AsyncClient(
                verify=self._trusted,
                trust_env=not near,
                follow_redirects=False,
                limits=LIMITS,
                # What one call is told to remember is no other call's business.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        return self._clients[near]

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        """Whose certificates are trusted; to read them all takes tens of milliseconds."""
        return httpx.create_ssl_context()


# ── what is sent ─────────────────────────────────────────────────────────────────────────────


def bearer(variable: str | None) -> str:
    """The token in an environment variable, empty where there is none.

    Raises ``NotSent`` for one that no header can hold.
    """
    token = environ.get(variable or "", "").strip()
    if not all("!" <= letter <= "~" for letter in token):
        raise NotSent(
            f"the value of {variable} is no key: it has a blank, a control or a non-ASCII "
            "character in it"
        )
    return token


def chat_url(endpoint: str) -> str:
    """Where an endpoint takes chat completions; its query stays (``?api-version=…``)."""
    base, mark, query = endpoint.partition("#")[0].partition("?")
    return f"{base.rstrip('/')}/chat/completions{mark}{query}"


def _near(url: str) -> bool:
    """Whether a url is of this machine; raises ``NotSent`` for one that is none."""
    try:
        _ = urlsplit(url).port, httpx.URL(url).host  # both are read, and judged, when asked for
        return is_local(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise NotSent(f"the address is not sound: {error}") from None


# ── what comes back ──────────────────────────────────────────────────────────────────────────


async def _read(response: httpx.Response, token: str) -> Raw:
    """An answer, or what came in place of one; never more bytes of it than are wanted."""
    status = response.status_code
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    plain = encoding in ("", "identity")
    if not response.is_success:
        complaint = await _complaint(response, token) if plain else f"a body in {encoding}"
        asked = leave_alone(status, response.headers.get("Retry-After", ""), time.time())
        return Raw(status=status, body=complaint, retry_after=asked)
    if not plain:
        # To unpack it could take any amount of memory.
        why = f"the answer is encoded as {encoding}, though it was asked for as it is"
        return Raw(status=status, unusable=why)
    data, most = bytearray(), replies.MAX_ANSWER_BYTES
    await _take(response, data, most)
    if len(data) > most:
        return too_much(most, status)
    return answered(without(token, data, LEAST_IN_ANSWER), status)


async def _complaint(response: httpx.Response, token: str) -> Any:
    if response.has_redirect_location:
        return f"it redirects to {_where(response, token)}, and no redirect is followed"
    data = bytearray()
    with suppress(TimeoutError, httpx.HTTPError):  # what has come till then is told
        async with asyncio.timeout(COMPLAINT_SECONDS):
            await _take(response, data, COMPLAINT_BYTES)
    return parsed(without(token, data[:COMPLAINT_BYTES]).decode("utf-8", "replace"))


async def _take(response: httpx.Response, data: bytearray, most: int) -> None:
    """Read the body to its end, or until there is more than ``most`` bytes of it."""
    async for part in response.aiter_raw():
        data += part
        if len(data) > most:
            break


def _where(response: httpx.Response, token: str) -> str:
    """Where a redirect leads, without what may be secret: its query and who asks."""
    to = response.url.join(response.headers["Location"])
    shown = to.copy_with(username="", password="", query=None, fragment=None)
    return without(token, str(shown).encode()).decode()


def _not_connected(error: httpx.TransportError) -> Raw:
    """Nothing was sent: no connection stood. A certificate gets no better by asking again."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = first(deeper)
    text = f"{type(error).__name__}: {cause if str(cause) else error}"
    return Raw(failure=text, transport=not isinstance(cause, ssl.SSLCertVerificationError))


def leave_alone(status: int, header: str, now: float) -> float | None:
    """For how many seconds a server that is busy or away asks to be left alone (RFC 9110, 10.2.3).

    ``header`` is its ``Retry-After``, a number of seconds or a date; at most ``MAX_RETRY_AFTER``.
    """
    if status not in RETRY_AFTER:
        return None
    header = header.strip()
    try:
        if header.isascii() and header.isdigit():
            seconds = float(header)
        else:
            date = parsedate_to_datetime(header)
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER)
