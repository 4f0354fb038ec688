"""Sizes and durations as people write them."""

from __future__ import annotations

import re

_SIZE = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_SECONDS = {
    "": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of `"300MiB"`, `"1.5 GiB"`, `"10GB"`; raises ValueError for anything else."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].upper() not in _SIZE:
        raise ValueError(f"{text!r} is not a size")
    return round(float(match[1]) * _SIZE[match[2].upper()])


def parse_seconds(text: str) -> float:
    """Seconds of `"500ms"`, `"30s"`, `"15min"`, `"2h"`, `"1d"`; raises ValueError otherwise."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].lower() not in _SECONDS:
        raise ValueError(f"{text!r} is not a duration; right are 30s, 15min, 2h and 1d")
    return float(match[1]) * _SECONDS[match[2].lower()]


def show_size(size: float) -> str:
    """A size for people: the largest binary unit that leaves a number of at least 1."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(size) >= scale:
            return f"{size / scale:.2f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{size:.0f} B"


def show_seconds(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for (big, many), (small, few) in (
        (("min", 60), ("s", 1)),
        (("h", 3600), ("min", 60)),
        (("d", 86400), ("h", 3600)),
    ):
        if whole < many * {"min": 60, "h": 24, "d": 10**9}[big]:
            rest = whole % many // few
            return f"{whole // many} {big} {rest} {small}" if rest else f"{whole // many} {big}"
    raise AssertionError("days have no upper bound")
