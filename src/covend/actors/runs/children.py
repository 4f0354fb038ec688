"""The first record of a run that other runs' ends begin, and their part in it (rules §6)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from covend.patterns.nesting import alike, gathered, joined, passed_over, too_many
from covend.patterns.query.admit import InvalidQuery, admit
from covend.patterns.query.spec import Join
from covend.patterns.responders.responder import Responder
from covend.phylactery.records import Record, record
from covend.resolving import resolved

Find: TypeAlias = Callable[[str], dict[str, Any] | None]
"""The record of an id, as plain data."""


def begin_child(
    body: dict[str, Any],
    known: Sequence[Responder],
    find: Find,
    now: int,
    by: str | None = None,
) -> Record:
    """The ``intend`` record of the run that a ``trigger`` body begins, ``by`` whom its parent was.

    That is a did; None for an operator.

    A query that cannot be admitted any more begins nothing: a ``refused`` record beside the parent
    says why (P19).
    """
    thread = str(body["child"])
    try:
        intend = admit(
            body["query"],
            known,
            thread=thread,
            now=now,
            seed=secrets.randbits(32),
            trigger={**body, "input": handed_down(body)},
            records=named_records(body["query"], find),
        )
    except InvalidQuery as error:
        refusal = {
            "trigger": body["trigger"],
            "child": thread,
            "refused": f"the query is not valid: {error}",
            "code": "invalid_query",
            "errors": error.errors,
        }
        parent = str(body["parent"])
        return record(parent, "refused", refusal, actor="execution", act="PUT", clock=now)
    if by is not None:
        intend |= asked_by(by)
    return record(thread, "intend", intend, actor="execution", act="INTEND", clock=now)


def as_member(entry: dict[str, Any]) -> dict[str, Any]:
    """A part in a join as stored; raises ``KeyError`` where it lacks what a join goes by."""
    body = entry["body"]
    needed = ("parent", "answer", "budget", "join", "query")
    return {**body, **{name: body[name] for name in needed}}


def asked_by(did: str) -> dict[str, Any]:
    """What the ``intend`` of a person's query says of whose it is, and its joins are."""
    return {"by": did, "joins_of": did}


def take_part(
    body: dict[str, Any],
    earlier: Sequence[dict[str, Any]],
    there: bool,
    known: Sequence[Responder],
    find: Find,
    now: int,
) -> tuple[list[Record], Record | None]:
    """The records of a run's part in a join, and the first one of the run that it completes.

    ``earlier`` are the parts before it, ``there`` says that the join's run is there already. A part
    that can begin nothing is noted beside the run whose it is, with the reason.
    """
    child, every = str(body["child"]), [*earlier, body]
    members, join = alike(body, every), msgspec.convert(body["join"], resolved(Join))
    part = record(child, "joined", body, actor="desk", act="PUT")
    if joined(join, members) and not there and not too_many(join, members):
        answers, budget = gathered(members)
        whole = {**body, "answers": answers, "budget": budget}
        return [part], begin_child(whole, known, find, now, body.get("by"))
    why = passed_over(join, members, every)
    if why is None:
        return [part], None
    said = {"trigger": body["trigger"], "child": child, "refused": why}
    note = record(body["parent"], "unjoined", said, actor="desk", act="PUT", clock=now)
    return [part, note], None


def handed_down(body: dict[str, Any]) -> Any:
    """What the new run's input refers to: the answer that caused it, or those of a join."""
    answers: list[Any] = body.get("answers") or [body["answer"]]
    ref = body["query"].get("input", {}).get("ref")
    return answers if ref == "know.answers" else body["answer"]


def named_records(query: Any, find: Find) -> dict[str, Any]:
    """What the record that a query's input names says: the answer of an end, else its body (P7).

    One that was purged says nothing any more.
    """
    try:
        name = query["input"]["record_id"]
    except (KeyError, TypeError):
        return {}
    found = find(name) if isinstance(name, str) else None
    if found is None or found.get("purged"):
        return {}
    body = found["body"]
    return {name: body["answer"] if found["kind"] == "know" else body}
