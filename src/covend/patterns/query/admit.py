"""Admission: a query as JSON becomes a plan, or every reason why it cannot (P7).

What is admitted is pinned: named schemas, the input and the matching responders are copied into
the plan, so that a run parked for a week decides by what it was admitted with (P5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from covend.patterns.nesting import MAX_DEPTH
from covend.patterns.query.checking import check_query
from covend.patterns.query.reading import Problem, members, read
from covend.patterns.query.shape import MAX_INPUT_BYTES, MAX_NESTED, nested_deeper
from covend.patterns.query.spec import (
    MAX_LATENCY,
    MAX_LATENCY_SECS,
    Ensemble,
    Escalate,
    Kind,
    Query,
    Retry,
    Verify,
    Want,
    Waterfall,
)
from covend.patterns.reducers import CURRENT
from covend.patterns.responders.choosing import suits
from covend.patterns.responders.responder import Responder
from covend.patterns.state import SECOND
from covend.phylactery.canonical import NotCanonical, canonical, parse
from covend.resolving import resolved

UNKNOWN_KIND: Kind = "llm"
"""Its default latency is taken for a round that no responder matches."""


DECISIVE = frozenset({"input", "answer_shape", "fold", "relevance"})
"""If one of these is wrong, problems found inside it are not reported."""

DEPENDS = {
    "input": frozenset({"input"}),
    "answer_shape": frozenset({"answer_shape"}),
    "fold": frozenset({"fold", "answer_shape", "orchestration"}),
    "orchestration": frozenset({"answer_shape"}),
    "min_quorum": frozenset({"relevance"}),
}
"""If one of these could not be read, problems found in the member are not reported."""


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
    trigger: Mapping[str, Any] | None = None,
    schemas: Mapping[str, Any] | None = None,
    records: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of the ``intend`` record that begins a run; raises ``InvalidQuery``.

    ``now`` is the record clock, ``thread`` the run's own id. ``trigger`` is the body of the record
    that begins this run, if one does: its input, what it may spend, and its causes. ``schemas``
    are the named JSON Schemas; ``records`` what the record ids that a query may name refer to.
    """
    cause = trigger or {}
    asked = _read(query, schemas or {}, cause)
    given = _given(asked, cause, records or {})
    if thread in (cause.get("parent"), *cause.get("chain", ())):
        raise InvalidQuery([{"path": "$", "problem": f"{thread} would be its own cause"}])
    asked = _pinned(asked, schemas or {})
    snapshot = _snapshot(asked, responders)
    data = _recorded(
        {
            "query": msgspec.to_builtins(asked),
            "responders": [msgspec.to_builtins(one) for one in snapshot],
        }
    )
    ends = now + round(_within_bounds(max_latency_secs(asked, snapshot)) * SECOND)
    body: dict[str, Any] = {
        **cast("dict[str, Any]", parse(data.decode())),
        "plan": hashlib.sha256(data).hexdigest(),
        "reducer": CURRENT,
        "seed": seed,
        "ends": ends,
        "timers": [{"name": "end", "due": ends}],
    }
    if given is not None:
        body["input"] = given
    limit = _budget(asked, cause)
    if limit is not None:
        body["budget"] = limit
    for name in ("parent", "chain", "depth"):
        if cause.get(name):
            body[name] = cause[name]
    return body


def _recorded(plan: dict[str, Any]) -> bytes:
    """The bytes of a plan; nested queries may make it too large although each part is allowed."""
    try:
        return canonical(plan)
    except NotCanonical as failed:
        path = failed.path.replace("$.query", "$", 1)
        raise InvalidQuery([{"path": path, "problem": failed.problem}]) from None


def _read(query: Any, schemas: Mapping[str, Any], cause: Mapping[str, Any]) -> Query:
    """The query with its types and its meaning checked, every problem of both collected."""
    try:
        canonical(query)
    except NotCanonical as failed:
        raise InvalidQuery([{"path": failed.path, "problem": failed.problem}]) from None
    problems: list[Problem] = []
    if not isinstance(query, dict):
        read(Query, query, "$", problems)
        raise InvalidQuery(problems)
    data = cast("dict[str, Any]", query)
    found, sound = _whole(data), data
    if found is None:
        sound = members(Query, data, "$", problems)
        found = msgspec.convert({"question": "?", "responders": [{}], **sound}, resolved(Query))
    problems += _empty_inputs(data, "$")
    unsure = {_member(one) for one in problems} & DECISIVE | (data.keys() - sound.keys())
    depth = int(cause.get("depth", 0))
    if depth > MAX_DEPTH:
        problems.append({"path": "$", "problem": f"is nested deeper than {MAX_DEPTH}"})
    problems += [
        one
        for one in check_query(found, schemas, depth=depth, caused=bool(cause))
        if not unsure & DEPENDS.get(_member(one), frozenset())
    ]
    if problems:
        raise InvalidQuery(problems)
    return found


def _whole(data: dict[str, Any]) -> Query | None:
    """The query if its types are right, which takes far less time than to find out what is not."""
    try:
        return msgspec.convert(data, resolved(Query))
    except msgspec.ValidationError:
        return None


def _empty_inputs(data: Any, path: str) -> list[Problem]:
    """Inputs that say nothing; once read, they look like inputs that were left out."""
    problems: list[Problem] = []
    if isinstance(data, dict):
        query = cast("dict[str, Any]", data)
        if query.get("input") == {}:
            problem = "must have one of inline, record_id and ref"
            problems.append({"path": f"{path}.input", "problem": problem})
        triggers = query.get("triggers")
        for index, one in enumerate(
            cast("list[Any]", triggers) if isinstance(triggers, list) else []
        ):
            nested: Any = (
                cast("dict[str, Any]", one).get("query") if isinstance(one, dict) else None
            )
            problems += _empty_inputs(nested, f"{path}.triggers[{index}].query")
    return problems


def _member(problem: Problem) -> str:
    """The member of the query that a problem is in."""
    return problem["path"].removeprefix("$.").partition(".")[0].partition("[")[0]


def _given(query: Query, cause: Mapping[str, Any], records: Mapping[str, Any]) -> Any:
    """What the question is about, as plain data."""
    asked, path = query.input, "$.input.inline"
    if asked.ref is not None:
        path, given = "$.input.ref", cause.get("input")
    elif asked.record_id is None:
        given = asked.inline
    elif asked.record_id in records:
        path, given = "$.input.record_id", records[asked.record_id]
    else:
        problem = f"there is no record {asked.record_id}"
        raise InvalidQuery([{"path": "$.input.record_id", "problem": problem}])
    if nested_deeper(given, MAX_NESTED):
        problem = f"leads to what is nested deeper than {MAX_NESTED} levels"
        raise InvalidQuery([{"path": path, "problem": problem}])
    if (size := len(canonical(given))) > MAX_INPUT_BYTES:
        problem = f"has {size} bytes as canonical JSON; at most {MAX_INPUT_BYTES} are allowed"
        raise InvalidQuery([{"path": path, "problem": problem}])
    return given


def _pinned(query: Query, schemas: Mapping[str, Any]) -> Query:
    """The query with the schemas it names put in: a later change of them changes nothing."""
    shape = query.answer_shape
    if shape.schema_ref is not None:
        shape = msgspec.structs.replace(shape, schema=schemas[shape.schema_ref], schema_ref=None)
    triggers = tuple(
        msgspec.structs.replace(one, query=_pinned(one.query, schemas)) for one in query.triggers
    )
    return msgspec.structs.replace(query, answer_shape=shape, triggers=triggers)


def _snapshot(query: Query, responders: Sequence[Responder]) -> list[Responder]:
    """Who may be asked at all, and the people they delegate to; in the order of their ids.

    Without their channels, which are secrets and not for a run's records: who tells people asks
    the registry for them.
    """
    wanted = [want for wants in every_wants(query) for want in wants]
    active = [one for one in responders if one.status == "active"]
    found = {one.id: one for one in active if any(suits(one, want) for want in wanted)}
    delegates = {did for one in found.values() for did in one.delegates}
    found |= {one.id: one for one in active if one.did is not None and one.did in delegates}
    chosen = [found[name] for name in sorted(found)]
    return [msgspec.structs.replace(one, channels=()) if one.channels else one for one in chosen]


def every_wants(query: Query) -> list[Sequence[Want]]:
    """The wants of every round that the query may come to; stages and tiers say their own."""
    match query.orchestration:
        case Verify(verifier=verifier, tiebreaker=tiebreaker, judge=judge):
            more = [verifier, tiebreaker, judge.responders if judge else ()]
        case Waterfall(stages=stages):
            return [stage.responders for stage in stages]
        case Retry(adjustments=adjustments):
            more = [adjustment.responders for adjustment in adjustments]
        case Escalate(tiers=tiers):
            return [tier.responders for tier in tiers]
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
        kinds: set[Kind] = {want.kind for want in wanted if want.kind is not None}
        for one in responders:
            if one.kind not in kinds and any(suits(one, want) for want in wanted):
                kinds.add(one.kind)
        return max(MAX_LATENCY[kind] for kind in kinds or {UNKNOWN_KIND})

    match query.orchestration:
        case Verify(verifier=verifier, tiebreaker=tiebreaker, judge=judge):
            secs = longest(query.responders, verifier)
            secs += longest(tiebreaker) if tiebreaker else 0.0
            secs += longest(judge.responders) if judge else 0.0
        case Waterfall(stages=stages):
            secs = sum(stage.timeout_secs or longest(stage.responders) for stage in stages)
        case Retry(max_attempts=attempts, adjustments=adjustments):
            first = longest(query.responders)
            changed = [longest(one.responders) if one.responders else first for one in adjustments]
            rest = attempts - 1 - len(changed)
            secs = first + sum(changed) + rest * (changed[-1] if changed else first)
        case Escalate(tiers=tiers):
            secs = sum(tier.timeout_secs or longest(tier.responders) for tier in tiers)
        case Ensemble(auditor=auditor, backup_auditor=backup, audit_timeout_secs=timeout):
            secs = longest(query.responders) + (timeout or longest(auditor))
            secs += (timeout or longest(backup)) if backup else 0.0
        case _:
            secs = longest(query.responders)
    return secs


def _within_bounds(secs: float) -> float:
    """The seconds of a run, unless many rounds in a row make them too many."""
    if secs > MAX_LATENCY_SECS:
        problem = (
            f"must be said: one after the other the rounds may take {secs:.9g} seconds, and a "
            f"query may take {MAX_LATENCY_SECS:.9g} at most"
        )
        raise InvalidQuery([{"path": "$.side_effects.max_latency_secs", "problem": problem}])
    return secs


def _budget(query: Query, cause: Mapping[str, Any]) -> float | None:
    """Dollars it may spend: what it says itself, and no more than its parent hands down (P13)."""
    limits = [query.side_effects.max_cost_usd, cause.get("budget")]
    return min((float(limit) for limit in limits if limit is not None), default=None)
