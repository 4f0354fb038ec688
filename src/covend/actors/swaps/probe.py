"""One health probe of a soulstone: a GET with a deadline, on a kept connection."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit


class HealthProbe:
    """Asks one soulstone's health path; not thread-safe, belongs to one actor."""

    def __init__(self, endpoint: str, path: str) -> None:
        where = urlsplit(endpoint)
        self.host = where.hostname or "127.0.0.1"
        self.port = where.port or 80
        self.path = path
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, timeout: float) -> tuple[bool, str]:
        """Whether it answered 2xx within ``timeout`` seconds, and what it said instead."""
        connection = self._connection
        if connection is None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
            self._connection = connection
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            connection.request("GET", self.path)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return False, f"{type(error).__name__}: {error}"
        if 200 <= response.status < 300:
            return True, f"HTTP {response.status}"
        return False, f"HTTP {response.status} from {self.path}"

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
