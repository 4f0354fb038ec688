"""The first record of a run that another run's end begins (rules §6, "A seventh")."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from covend.patterns.query.admit import InvalidQuery, admit
from covend.patterns.responders.responder import Responder
from covend.phylactery.records import Record, record

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

    A query that cannot be admitted any more begins nothing: a ``refused`` record says why (P19).
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
        refusal = {"code": "invalid_query", "errors": error.errors, "parent": body["parent"]}
        return record(thread, "refused", refusal, actor="execution", act="PUT", clock=now)
    if by is not None:
        intend["by"] = by
    return record(thread, "intend", intend, actor="execution", act="INTEND", clock=now)


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
