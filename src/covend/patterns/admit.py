"""Admission: a query as JSON becomes a plan, or every reason why it cannot (P7).

What is admitted is pinned: named schemas, the input and the matching responders are copied into
the plan, so that a run parked for a week decides by what it was admitted with (P5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from covend.patterns.checking import MAX_DEPTH, check_query
from covend.patterns.choosing import lacking
from covend.patterns.reading import Problem, misread
from covend.patterns.responder import Responder, to_data
from covend.patterns.spec import (
    MAX_LATENCY,
    Ensemble,
    Escalate,
    Kind,
    Query,
    Retry,
    Verify,
    Want,
    Waterfall,
)
from covend.patterns.state import SECOND, K
from covend.phylactery.canonical import NotCanonical, canonical, parse

REDUCER = 1
"""The reducer that new runs are pinned to; ``step.CURRENT`` is the same (P5)."""

UNKNOWN_KIND: Kind = "llm"
"""Whose default latency counts for a round that nobody matches."""


class InvalidQuery(Exception):
    """A query that cannot be admitted, with every problem and its path (P7, X6)."""

    def __init__(self, errors: list[Problem]) -> None:
        super().__init__("; ".join(f"{one['path']}: {one['problem']}" for one in errors))
        self.errors = errors


def admit(
    query: Any,
    responders: Sequence[Responder],
    *,
    thread: str,
    now: int,
    seed: int,
    parent: K | None = None,
    budget: float | None = None,
    answers: Sequence[Any] | None = None,
    schemas: Mapping[str, Any] | None = None,
    records: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of the ``intend`` record that begins a run; raises ``InvalidQuery``.

    ``now`` is the record clock. ``parent`` is the run that triggered this one, with ``budget``
    the part of its money that it hands down (all that is left by default) and ``answers`` those
    of a join. ``schemas`` are the named JSON Schemas; ``records`` what the record ids that the
    query may name refer to.
    """
    read = _read(query, schemas or {}, parent)
    given, problem = _given(read, parent, answers, records or {})
    problems = [problem] if problem else []
    problems += _causes(thread, parent)
    if problems:
        raise InvalidQuery(problems)
    read = _pinned(read, schemas or {})
    snapshot = _snapshot(read, responders)
    data = {"query": to_data(read), "responders": [to_data(one) for one in snapshot]}
    ends = now + round(max_latency_secs(read, snapshot) * SECOND)
    body: dict[str, Any] = {
        **data,
        "plan": hashlib.sha256(canonical(data)).hexdigest(),
        "reducer": REDUCER,
        "seed": seed,
        "ends": ends,
        "timers": [{"name": "end", "due": ends}],
    }
    if given is not None:
        body["input"] = given
    limit = _budget(read, parent, budget)
    if limit is not None:
        body["budget"] = limit
    if parent is not None:
        body |= {
            "parent": parent.thread,
            "chain": [*parent.plan.chain, parent.thread],
            "depth": parent.plan.depth + 1,
        }
    return cast("dict[str, Any]", parse(canonical(body).decode()))


def _read(query: Any, schemas: Mapping[str, Any], parent: K | None) -> Query:
    """The query with its types and its meaning checked, every problem of both collected."""
    try:
        canonical(query)
    except NotCanonical as failed:
        raise InvalidQuery([{"path": failed.path, "problem": failed.problem}]) from None
    except RecursionError:
        raise InvalidQuery([{"path": "$", "problem": "is nested too deep"}]) from None
    problems = misread(Query, query)
    if not isinstance(query, dict):
        raise InvalidQuery(problems)
    data = cast("dict[str, Any]", query)
    if data.get("input") is not None and not data["input"]:
        problems.append(
            {"path": "$.input", "problem": "must have one of inline, record_id and ref"}
        )
    sound = _sound(data, problems)
    depth = parent.plan.depth + 1 if parent is not None else 0
    problems += [
        one
        for one in check_query(sound, schemas, depth=depth, caused=parent is not None)
        if _member(one) in data and not _within(one, problems)
    ]
    if problems:
        raise InvalidQuery(problems)
    return sound


def _sound(data: dict[str, Any], problems: Iterable[Problem]) -> Query:
    """What can be read of a query: its faulty members are left out, for the others' sake."""
    faulty = {_member(one) for one in problems}
    kept = {name: value for name, value in data.items() if name not in faulty}
    return msgspec.convert({"question": "?", "responders": [{}], **kept}, Query)


def _member(problem: Problem) -> str:
    """The member of the query that a problem is in."""
    return problem["path"].removeprefix("$.").partition(".")[0].partition("[")[0]


def _within(problem: Problem, known: Iterable[Problem]) -> bool:
    return any(_member(problem) == _member(one) for one in known)


def _given(
    query: Query, parent: K | None, answers: Sequence[Any] | None, records: Mapping[str, Any]
) -> tuple[Any, Problem | None]:
    """What the question is about, as plain data."""
    asked = query.input
    if asked.record_id is not None:
        if asked.record_id not in records:
            problem = f"there is no record {asked.record_id}"
            return None, {"path": "$.input.record_id", "problem": problem}
        return records[asked.record_id], None
    if asked.ref is None:
        return asked.inline, None
    answer = parent.ended.get("answer") if parent is not None and parent.ended else None
    if asked.ref == "know.answer":
        return answer, None
    return list(answers) if answers is not None else [answer], None


def _causes(thread: str, parent: K | None) -> list[Problem]:
    """A run may not be nested too deep, nor be among its own causes."""
    if parent is None:
        return []
    chain = (*parent.plan.chain, parent.thread)
    if thread in chain:
        return [{"path": "$", "problem": f"{thread} would cause itself: {' → '.join(chain)}"}]
    if parent.plan.depth + 1 > MAX_DEPTH:
        return [{"path": "$", "problem": f"is nested deeper than {MAX_DEPTH}"}]
    return []


def _pinned(query: Query, schemas: Mapping[str, Any]) -> Query:
    """The query with the schema it names put in, so that a later change of it changes nothing."""
    shape = query.answer_shape
    if shape.schema_ref is None or shape.schema is not None:
        return query
    resolved = msgspec.structs.replace(shape, schema=schemas[shape.schema_ref], schema_ref=None)
    triggers = tuple(
        msgspec.structs.replace(one, query=_pinned(one.query, schemas)) for one in query.triggers
    )
    return msgspec.structs.replace(query, answer_shape=resolved, triggers=triggers)


def _snapshot(query: Query, responders: Sequence[Responder]) -> list[Responder]:
    """Who may be asked at all, and the people they delegate to; in the order of their ids."""
    wanted = [want for wants in every_wants(query) for want in wants]
    active = [one for one in responders if one.status == "active"]
    found = {one.id: one for one in active if any(lacking(one, want) is None for want in wanted)}
    delegates = {did for one in found.values() for did in one.delegates}
    found |= {one.id: one for one in active if one.did is not None and one.did in delegates}
    return [found[name] for name in sorted(found)]


def every_wants(query: Query) -> list[Sequence[Want]]:
    """The wants of every round that the query may come to."""
    match query.orchestration:
        case Verify(verifier=verifier, tiebreaker=tiebreaker, judge=judge):
            more = [verifier, tiebreaker, judge.responders if judge else ()]
        case Waterfall(stages=stages):
            more = [stage.responders for stage in stages]
        case Retry(adjustments=adjustments):
            more = [adjustment.responders for adjustment in adjustments]
        case Escalate(tiers=tiers):
            more = [tier.responders for tier in tiers]
        case Ensemble(auditor=auditor, backup_auditor=backup):
            more = [auditor, backup]
        case _:
            more = []
    return [query.responders, *more]


def max_latency_secs(query: Query, responders: Sequence[Responder]) -> float:
    """How long a run may take: as stated, else the defaults of its rounds in a row (P10)."""
    stated = query.side_effects.max_latency_secs
    if stated is not None:
        return stated

    def longest(*rounds: Sequence[Want]) -> float:
        """The default of the slowest kind that may be asked in rounds at the same time."""
        wanted = [want for wants in rounds for want in wants]
        kinds: set[Kind] = {
            one.kind for one in responders if any(not lacking(one, want) for want in wanted)
        }
        kinds |= {want.kind for want in wanted if want.kind is not None}
        return max(MAX_LATENCY[kind] for kind in kinds or {UNKNOWN_KIND})

    first = longest(query.responders)
    match query.orchestration:
        case Verify(verifier=verifier, tiebreaker=tiebreaker, judge=judge):
            secs = longest(query.responders, verifier)
            secs += longest(tiebreaker) if tiebreaker else 0.0
            secs += longest(judge.responders) if judge else 0.0
        case Waterfall(stages=stages):
            secs = sum(stage.timeout_secs or longest(stage.responders) for stage in stages)
        case Retry(max_attempts=attempts, adjustments=adjustments):
            changed = [longest(one.responders) if one.responders else first for one in adjustments]
            secs = first * max(1, attempts - len(changed)) + sum(changed)
        case Escalate(tiers=tiers):
            secs = sum(tier.timeout_secs or longest(tier.responders) for tier in tiers)
        case Ensemble(auditor=auditor, backup_auditor=backup, audit_timeout_secs=timeout):
            secs = first + (timeout or longest(auditor))
            secs += (timeout or longest(backup)) if backup else 0.0
        case _:
            secs = first
    return secs


def _budget(query: Query, parent: K | None, handed_down: float | None) -> float | None:
    """The least of what the query, its parent and its parent's purse allow; None for no limit."""
    limits = [query.side_effects.max_cost_usd, handed_down]
    if parent is not None:
        limits.append(parent.remaining())
    stated = [limit for limit in limits if limit is not None]
    return max(0.0, min(stated)) if stated else None
