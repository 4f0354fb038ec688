"""Types that any thread may decode: their members are resolved before the first one does."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_lock = threading.RLock()
_resolved: set[Any] = set()


def resolved(kind: T) -> T:
    """Return the type ``kind``, safe to decode and convert to from now on. Any thread.

    msgspec looks up the members of a struct at its first use, in Python, and lets other threads
    have the struct meanwhile: whoever decodes it then follows a null pointer, and the process
    dies of it. So whatever decodes to a type takes the type from here, where the first use has a
    lock. Raises what msgspec raises for a type it cannot decode.
    """
    if kind not in _resolved:
        with _lock:
            msgspec.msgpack.Decoder(kind)
            _resolved.add(kind)
    return kind
