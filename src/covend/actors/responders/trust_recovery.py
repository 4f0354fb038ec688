"""What a crash made the registry forget, read back from the ends of runs (P8).

Each record of standings names the runs that were counted since the record before it. So whatever
ended since the last record but one, and is not named in the last, has yet to be counted; nothing
else is read. Pure but for the asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import dropwhile
from typing import Any

from covend.actors.responders.trust import Outcome, outcomes
from covend.actors.runs import views
from covend.actors.runs.story import Story
from covend.patterns.state import call_id_of
from covend.phylactery.messages import Query

MOST = 5000
"""So many ends are looked at; more do not come between two stored standings."""
LATE_US = 60 * 1_000_000
"""Microseconds. Before the only record of standings, or else the newest end, a run that ended by so
much earlier may have to be counted; with two such records nothing is guessed."""


def uncounted(
    ask: Callable[[object], Any], checkpoints: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The ``know`` records that no stored standing counts, oldest first.

    ``checkpoints`` are the last records of standings, newest first. Runs that were imported ended
    long before, on another box, and are not counted. A damaged checkpoint has but its ``seq``: the
    one before it is the last then, and before one that is whole its place says enough.
    """
    usable = dropwhile(lambda one: "damaged" in one, checkpoints)
    last, before = [*usable, None, None][:2]
    if last is not None and "runs" not in last["body"]:
        before = last  # an older build's: all before it counts
    query = Query(kind="know", after=before["seq"] if before else 0, limit=MOST, damaged=True)
    ends: list[dict[str, Any]] = ask(query)
    if not ends:
        return []
    since = before.get("clock") if before else None
    if since is None:
        since = (last or ends[0])["clock"] - LATE_US
    counted = set(last["body"].get("runs", ())) if last else set[str]()
    found = [end for end in ends if end["clock"] >= since and end["thread"] not in counted]
    return found[::-1]


def outcomes_of(records: Sequence[dict[str, Any]], end: dict[str, Any]) -> tuple[Outcome, ...]:
    """What a run's end says of those it asked, as its execution told it then; none of a purged one.

    ``records`` are the run's. Raises whatever records lead to that this build cannot read.
    """
    thread = str(end["thread"])
    for entry in records:
        if "damaged" in entry:
            raise ValueError(f"its record {entry['seq']} is damaged: {entry['damaged']}")
    if any(entry.get("purged") for entry in records):
        return ()
    entries = Story(thread).read(entry for entry in records if entry["seq"] <= end["seq"])
    k = views.folded(thread, entries)
    if k is None:
        return ()
    roles: dict[str, str] = {}
    delays: dict[str, float] = {}
    for entry in entries:
        if entry.kind == "call":
            roles[call_id_of(entry.body)] = entry.body["role"]
        elif entry.kind == "do" and "delay_secs" in entry.body:
            delays.setdefault(call_id_of(entry.body), float(entry.body["delay_secs"]))
    return tuple(outcomes(k, roles, delays))
