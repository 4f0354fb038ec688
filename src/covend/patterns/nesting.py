"""The next query: one run's end begins others, exactly once (rules §6, "A seventh").

A run that ends writes one ``trigger`` record for each of its triggers that fires, in the same
transaction as its ``know``; the child's first record goes with it. A thread ends once, so a child
is named by its parent and its trigger, or by the join that several parents share: whoever begins
it twice begins the same thread. A join is of one person's queries, or of the operators': nobody
takes part in another's.

A trigger that must not fire leaves a record too, with the reason: nested deeper than ``MAX_DEPTH``,
or a loop, that is a thread among its own causes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from covend.patterns.expressions import cel
from covend.patterns.query.spec import Join, Trigger
from covend.patterns.state import K, nano, usd
from covend.phylactery.canonical import canonical

MAX_DEPTH = 16
"""How deep queries nest."""


def triggers(k: K) -> list[dict[str, Any]]:
    """The bodies of the ``trigger`` records of a run that has just ended, in the query's order.

    What is left of the budget is divided among the triggers that fire; none of it is spent twice
    (P13).
    """
    if k.ended is None or not k.query.triggers:
        return []
    firing = [each for each in k.query.triggers if fires(each, k.ended)]
    reasons = [refusal(k, each) for each in firing]
    left, admitted = k.left(), reasons.count(None)
    share = None if left is None or not admitted else max(0, left) // admitted
    return [body(k, each, share, reason) for each, reason in zip(firing, reasons, strict=True)]


def fires(trigger: Trigger, know: dict[str, Any]) -> bool:
    """Whether the end meets the condition; one that cannot be evaluated does not hold (P15)."""
    return cel.holds(trigger.when, {"know": know}) is True


def refusal(k: K, trigger: Trigger) -> str | None:
    """Why a trigger that fires must not begin its query; None where it may."""
    if k.plan.depth + 1 > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH}"
    child = begins(k, trigger)
    if child in chain(k):
        return f"a loop: {child} would be its own cause"
    return None


def body(k: K, trigger: Trigger, share: int | None, refused: str | None) -> dict[str, Any]:
    """One ``trigger`` record: all that beginning the child takes, or why it is not begun.

    ``budget`` is what the child gets in US dollars, ``answer`` this run's answer, ``by`` the did of
    the person who asked, if it was one.
    """
    if refused is not None:
        return {"trigger": trigger.name, "refused": refused, "parent": k.thread}
    own = trigger.query.side_effects.max_cost_usd
    limits = [limit for limit in (share, None if own is None else nano(own)) if limit is not None]
    whose = {} if k.plan.joins_of is None else {"by": k.plan.joins_of}
    return whose | {
        "trigger": trigger.name,
        "child": begins(k, trigger),
        "query": msgspec.to_builtins(trigger.query),
        "answer": k.ended["answer"] if k.ended else None,
        "budget": usd(min(limits)) if limits else None,
        "parent": k.thread,
        "chain": list(chain(k)),
        "depth": k.plan.depth + 1,
        "join": None if trigger.join is None else msgspec.to_builtins(trigger.join),
    }


def chain(k: K) -> tuple[str, ...]:
    """The causes of whatever this run begins: its own, then itself."""
    return (*k.plan.chain, k.thread)


def begins(k: K, trigger: Trigger) -> str:
    """The thread that a trigger begins."""
    if trigger.join is not None:
        return join_thread(trigger.join, k.plan.joins_of)
    return child_thread(k.thread, trigger.name)


def child_thread(parent_thread: str, trigger_name: str) -> str:
    """The thread of the query that a trigger begins: one for each (trigger, end)."""
    return _thread(["trigger", parent_thread, trigger_name])


def join_thread(join: Join, did: str | None = None) -> str:
    """The thread of the query that several begin together: one for each join of one person."""
    return _thread(["join", join.id] if did is None else ["join", join.id, did])


def _thread(name: list[str]) -> str:
    return f"q-{hashlib.sha256(canonical(name)).hexdigest()[:32]}"


def joined(join: Join, members_known: Sequence[dict[str, Any]]) -> bool:
    """Whether a join is complete: ``all`` of its members, ``any``, or so many have fired.

    ``members_known`` are the ``trigger`` bodies of the join; those refused do not count, and the
    same parent counts once.
    """
    parents = {member["parent"] for member in members_known if "refused" not in member}
    match join.need:
        case "all":
            return len(parents) >= join.of
        case "any":
            return len(parents) >= 1
        case count:
            return len(parents) >= count


def alike(part: dict[str, Any], members_known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The members that mean the same join as this part of it: of as many, with the same query."""
    meant = _meant(part)
    return [member for member in members_known if _meant(member) == meant]


def _meant(member: dict[str, Any]) -> bytes:
    return canonical([member["join"], member["query"]])


def too_many(join: Join, members: Sequence[dict[str, Any]]) -> bool:
    """Whether the last of these came when all the parts of the join had come."""
    return len({member["parent"] for member in members}) > join.of


def passed_over(
    join: Join, members: Sequence[dict[str, Any]], members_known: Sequence[dict[str, Any]]
) -> str | None:
    """Why a part that came now can begin nothing; None where it may have to wait for others.

    ``members`` are those of ``members_known`` that mean the same as it, with itself.
    """
    if too_many(join, members):
        return f"the join {join.id!r} has had its {join.of} parts: an id is for one use"
    if len(members) < len(members_known):
        return f"another part of the join {join.id!r} has another `of`, `need` or query"
    return None


def gathered(members: Sequence[dict[str, Any]]) -> tuple[list[Any], float | None]:
    """What a complete join hands down: its members' answers by thread, and the sum of their money.

    The money of members without a limit is none; without any limit at all it is None.
    """
    ordered = sorted(members, key=lambda member: member["parent"])
    budgets = [nano(member["budget"]) for member in ordered if member["budget"] is not None]
    return [member["answer"] for member in ordered], usd(sum(budgets)) if budgets else None
