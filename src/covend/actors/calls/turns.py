"""Whose turn it is to go out: the choice, which is pure, and the lines that it is made from.

A provider that hangs says nothing until the deadline, so none may come to have all places. A call
goes out only while more of them are free than its host and its responder have, taken together. Of N
places a responder gets a third at most and a host with several responders half (each rounded up);
the more of them hang the less each gets, and whoever comes next still finds a place.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import NamedTuple


class Lane(NamedTuple):
    """Whom a call keeps busy: a responder, and what others may use as well (a host, a program)."""

    host: str
    responder: str


def next_lane(heads: Mapping[Lane, int], out: Mapping[Lane, int], places: int) -> Lane | None:
    """The lane whose first call goes out now, if any may.

    ``heads`` are the numbers of the first calls of all lanes that wait, lower for older ones;
    ``out`` is how many calls of each lane have a place. Pure.
    """
    free = places - sum(out.values())
    hosts: Counter[str] = Counter()
    for lane, count in out.items():
        hosts[lane.host] += count
    able = [lane for lane in heads if hosts[lane.host] + out.get(lane, 0) < free]
    return min(able, key=heads.__getitem__, default=None)


class Turns:
    """Calls that wait for a place, and those that have one, by name. In its owner's thread."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._out: dict[str, Lane] = {}
        self._waiting: dict[str, Lane] = {}
        self._lines: dict[Lane, OrderedDict[str, int]] = {}
        self._joined = 0

    def join(self, name: str, lane: Lane) -> None:
        """Wait for a place, behind all who wait already."""
        self._joined += 1
        self._waiting[name] = lane
        self._lines.setdefault(lane, OrderedDict())[name] = self._joined

    def take(self) -> str | None:
        """Give a place to the next call; None where nobody may have one now."""
        if not self._waiting or len(self._out) >= self.places:
            return None
        heads = {lane: next(iter(line.values())) for lane, line in self._lines.items()}
        lane = next_lane(heads, Counter(self._out.values()), self.places)
        if lane is None:
            return None
        name = next(iter(self._lines[lane]))
        self.leave(name)
        self._out[name] = lane
        return name

    def leave(self, name: str) -> None:
        """Wait no more, or give the place back; nothing where neither was so."""
        self._out.pop(name, None)
        lane = self._waiting.pop(name, None)
        if lane is not None:
            line = self._lines[lane]
            del line[name]
            if not line:
                del self._lines[lane]
