"""Holding a process of many threads on one processor core.

One thread of the interpreter runs Python at a time. Where two that take turns are on two cores,
each is woken on its own only to find the interpreter still taken, and sleeps again: a message
between actors then costs twice as much as on one core (``tools.bench workflows``).
"""

from __future__ import annotations

import os

_given: set[int] = set()


def hold() -> None:
    """Keep the threads that are started from now on on one core; main thread, before the others.

    Processes take different cores by their pid. What it starts must ``let_go`` if it is to have
    more than that one. Does nothing where the system knows no affinity.
    """
    if hasattr(os, "sched_setaffinity"):
        _given.update(os.sched_getaffinity(0))
        cores = sorted(_given)
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})


def let_go() -> None:
    """Let this thread, and what it starts, run wherever the process could before ``hold``."""
    if _given:
        os.sched_setaffinity(0, _given)
