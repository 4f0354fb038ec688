"""Waiting for something to become true, always with a deadline."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


def eventually(condition: Callable[[], T], seconds: float = 20.0, what: str = "") -> T:
    """Returns what ``condition`` gives as soon as that is true.

    Asks again and again for ``seconds``, blocking the calling thread; raises AssertionError that
    names ``what`` and the last answer when time is up. An exception in ``condition`` goes through.

    >>> answers = iter([None, "ready"])
    >>> eventually(lambda: next(answers), what="an answer")
    'ready'
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            wanted = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not within {seconds:g} s: {wanted} (last answer: {answer!r})")
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 1.5)


_given: set[int] = set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago; never the same one twice.

    Somebody else may take it before you do: where you can, listen on port 0 instead.

    >>> 0 < free_port() < 65536
    True
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:  # the kernel may well draw a port again that is free by now
            _given.add(port)
            return port
