"""covend runs a GPU box of local models the way an operating system runs programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covend.client import AsyncClient, Client

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "__version__"]

if not TYPE_CHECKING:  # a type checker must know each name, and no others

    def __getattr__(name: str) -> object:
        """The clients, imported at first use: most of covend talks to no box over HTTP."""
        if name in ("AsyncClient", "Client"):
            from covend import client

            return getattr(client, name)
        raise AttributeError(f"module 'covend' has no attribute {name!r}")
