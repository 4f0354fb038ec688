"""What a benchmark reports: figures with the limit they must keep, and the machine they are from.

A ``limit`` is a text such as ``"≤ 80"``; ``ok`` says whether it was kept. A figure without a limit
is there to be read beside the others.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


class Missing(Exception):
    """The bench needs something that this machine does not have; says how to get it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. ``reference`` is the same measure of something to compare with."""

    value: float
    unit: str
    limit: str | None = None
    ok: bool = True
    reference: float | str | None = None


def at_most(value: float, limit: float, unit: str, reference: float | str | None = None) -> Figure:
    """A figure that must not be above its limit.

    >>> at_most(70, 80, "µs")
    Figure(value=70, unit='µs', limit='≤ 80', ok=True, reference=None)
    """
    return Figure(value, unit, f"≤ {limit:,g}", value <= limit, reference)


def at_least(value: float, limit: float, unit: str, reference: float | str | None = None) -> Figure:
    """A figure that must not be below its limit."""
    return Figure(value, unit, f"≥ {limit:,g}", value >= limit, reference)


def exactly(value: float, wanted: float, unit: str, reference: float | str | None = None) -> Figure:
    """A figure that must be this value: a count of losses, mostly."""
    return Figure(value, unit, f"= {wanted:,g}", value == wanted, reference)


def observed(value: float, unit: str, reference: float | str | None = None) -> Figure:
    """A figure without a limit."""
    return Figure(value, unit, reference=reference)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of them lie (nearest rank); raises ValueError for none.

    >>> percentile([3, 1, 2, 4], 50)
    2
    """
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


median = statistics.median


def need(program: str, package: str) -> str:
    """The path of a program; raises Missing with the Debian package that has it."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{program} is not installed: apt-get install {package} (make bench-deps)")
    return found


def machine() -> dict[str, Any]:
    """What these figures were measured on."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def report(bench: str, figures: dict[str, Figure]) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    named = {name: asdict(figure) for name, figure in figures.items()}
    return {"bench": bench, "machine": machine(), "figures": named}


def _field(path: str, name: str) -> str | None:
    try:
        with open(path) as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        return None  # no such file off Linux: the caller has another word for it
    return None
