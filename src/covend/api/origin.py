"""From where a request without a key may come: from this machine, and from no page of elsewhere."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from litestar import Request

from covend.api.problems import Problem

KEY_HEADER = "x-covend-key"
"""Who asks, as the gate checked it: the name of an API key. A client's own is never passed on."""
OWN_SITE = (None, "same-origin", "none")
"""No page, or one of this very host, or its reader: ``same-site`` is any port of this machine."""


def check_origin(request: Request[Any, Any, Any]) -> None:
    """Whoever needs no key is on this machine; a web page of elsewhere, open there, is not.

    ``Host`` must be no name that could be rebound to this address, and the page, where there is
    one (``Origin``, or ``Sec-Fetch-Site`` where an image or a link sends no origin), must be of
    this very host. Raises ``Problem`` (403).
    """
    if request.headers.get(KEY_HEADER):
        return
    host = request.headers.get("host", "")
    if not _is_safe(host):
        text = f"Host: {host[:100]!r} may be anybody's name; use localhost, or an API key"
        raise Problem(403, "foreign_host", text)
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        text = f"Origin: pages of {origin[:100]!r} need an API key of this box"
        raise Problem(403, "foreign_origin", text)
    site = request.headers.get("sec-fetch-site")
    if site not in OWN_SITE:
        text = f"Sec-Fetch-Site: {site[:100]!r}: pages of elsewhere need an API key of this box"
        raise Problem(403, "foreign_origin", text)


def _is_safe(host: str) -> bool:
    """Whether a host can only be this machine: the local name, or an address and no name."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
