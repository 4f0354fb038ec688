"""What the desk shows of runs, made from their records. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from covend.actors.people.inbox import task_view
from covend.patterns.state import K, begin, fold, usd
from covend.patterns.step import Entry


def folded(thread: str, entries: Iterable[Entry], gaps: bool = False) -> K | None:
    """The state of a run as its records say, without deriving anything; None of no records.

    ``gaps``: some records after the first are missing, and what is said of their calls is not told.
    """
    k: K | None = None
    for entry in entries:
        if k is None:
            k = begin(thread, entry.body, entry.clock)
            continue
        try:
            k = fold(k, entry.kind, entry.body, entry.clock)
        except KeyError:
            if not gaps:
                raise
    return k


def damages(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Which of these records are not what was stored, and how."""
    return [
        {"seq": record["seq"], "problem": record["damaged"]}
        for record in records
        if "damaged" in record
    ]


def run(
    row: Mapping[str, Any],
    intend: Mapping[str, Any] | None,
    k: K | None,
    know: dict[str, Any] | None,
    damaged: list[dict[str, Any]],
    set_aside: str | None,
) -> dict[str, Any]:
    """One run in full.

    ``k`` is None where its working records were purged (D4), or its ``intend`` is damaged. With
    ``damaged`` records, only the end knows what all of them cost.
    """
    spent = {"settled": 0.0, "reserved": 0.0, "overrun": 0.0}
    if know is not None and (k is None or damaged):
        spent = know.get("cost", spent)
    elif k is not None:
        spent = {name: usd(getattr(k, name)) for name in spent}
    return {
        **line(row, intend, know),
        "query": None if intend is None else intend["query"],
        "know": know,
        "calls": [] if k is None else [call(k, name) for name in k.calls],
        "spent": spent,
        "damaged": damaged,
        "set_aside": set_aside,
    }


def line(
    row: Mapping[str, Any], intend: Mapping[str, Any] | None, know: Mapping[str, Any] | None
) -> dict[str, Any]:
    """One run in a list."""
    found = {name: row[name] for name in ("id", "state", "opened", "ended", "parent", "pattern")}
    found["pattern"] = found["pattern"] or "single_shot"
    found["question"] = None if intend is None else question(intend)
    found["status"] = None if know is None else know.get("status")
    return found


def question(intend: Mapping[str, Any]) -> str | None:
    """What was asked; None of a run that only another build of covend could read."""
    query: Any = intend.get("query")
    return query.get("question") if isinstance(query, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def call(k: K, name: str) -> dict[str, Any]:
    """One call of a run: whom, when, what came of it, at what cost."""
    one = k.calls[name]
    found: dict[str, Any] = {
        "call": one.id,
        "slot": one.slot,
        "attempt": one.attempt,
        "responder": one.responder,
        "kind": one.kind,
        "status": one.status,
        "called": one.called,
        "deadline": one.deadline,
        "cost": usd(one.settled),
        "late": name in k.late,
    }
    if one.problem is not None:
        found["problem"] = one.problem
    if one.response is not None:
        found["value"] = one.response.value
        found["confidence"] = one.response.confidence
    return found


def task(
    row: Mapping[str, Any], body: dict[str, Any], promised_by: Iterable[str] = ()
) -> dict[str, Any]:
    """One task: its row of the store, the body of its ``call``, and who promised an answer."""
    return task_view(
        row["thread"],
        body,
        did=row["did"],
        state=row["state"],
        due=row["due"],
        opened=row["opened"],
        seq=row["seq"],
        promised_by=promised_by,
    )
