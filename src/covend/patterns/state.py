"""K: everything a run knows, folded from its records (P2).

| record | how it changes K |
|---|---|
| intend | the plan: K begins |
| call | a call is open; its worst cost is reserved |
| do | a call has its response, or a person's word on it; the cost is settled |
| tick | a timer fired |
| learn | the pattern noted something; calls may be withdrawn |
| cancel | the run is to end |
| know | the run has ended |
| trigger | the next query was begun |

``fold`` is pure: it never changes the K it is given. Times are record clocks, microseconds since
1970; money is US dollars.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from covend.patterns.responder import Responder
from covend.patterns.spec import Query

SECOND = 1_000_000
INPUTS = frozenset({"intend", "do", "tick", "cancel"})
"""What comes from outside; every other kind of record follows from these."""

MAX_EXTENSIONS = 2
"""How often an eta may move a person's deadline (P18)."""

CallStatus = Literal["open", "ok", "invalid", "error", "declined", "timeout", "withdrawn"]


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a run is pinned to: the body of its ``intend`` record (P1, P5).

    ``responders`` are copies from the registry, ``plan`` is the hash of query and responders,
    ``budget`` what the run may spend, ``ends`` the clock at which it must have ended. ``chain``
    names what caused it, oldest first, and ``depth`` how deep it is nested.
    """

    query: Query
    responders: tuple[Responder, ...]
    plan: str
    reducer: int
    seed: int
    input: Any = None
    budget: float | None = None
    ends: int
    parent: str | None = None
    chain: tuple[str, ...] = ()
    depth: int = 0
    timers: tuple[dict[str, Any], ...] = ()


class Response(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One response as it was folded in: the value, how sure its giver was, and who that is."""

    call: str
    responder: str
    value: Any
    hash: str
    seq: int
    trust: float = 0.5
    confidence: float | None = None
    rationale: str | None = None
    obligations: tuple[dict[str, Any], ...] = ()


class Call(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One call of one slot: to whom, since when, until when, and what came of it."""

    slot: str
    attempt: int
    responder: str
    kind: str
    called: int
    deadline: int
    reserved: float = 0.0
    settled: float = 0.0
    status: CallStatus = "open"
    problem: str | None = None
    transport: bool = False
    extensions: int = 0
    response: Response | None = None
    conflicts: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """``SLOT#ATTEMPT``, unique in the run."""
        return f"{self.slot}#{self.attempt}"


class K(msgspec.Struct, kw_only=True):
    """One run's accumulated state; see the module. Treat it as a value: ``fold`` gives a new one."""

    thread: str
    plan: Plan
    opened: int
    now: int
    seq: int = 1
    calls: dict[str, Call] = {}
    learned: tuple[dict[str, Any], ...] = ()
    ticks: frozenset[str] = frozenset()
    cancelled: str | None = None
    ended: dict[str, Any] | None = None
    late: tuple[str, ...] = ()
    reserved: float = 0.0
    settled: float = 0.0
    overrun: float = 0.0

    @property
    def query(self) -> Query:
        return self.plan.query

    def remaining(self) -> float | None:
        """Dollars not yet spent nor reserved; None without a limit (P13)."""
        if self.plan.budget is None:
            return None
        return self.plan.budget - self.reserved - self.settled

    def responder(self, name: str) -> Responder:
        """The plan's copy of a responder; raises ``KeyError``."""
        return next(found for found in self.plan.responders if found.id == name)

    def round(self, name: str) -> list[Call]:
        """Every call of a round, in the order of its slots, the last attempt of each."""
        found: dict[str, Call] = {}
        for call in self.calls.values():
            if call.slot.startswith(name + "/"):
                found[call.slot] = call
        return list(found.values())


def fold(k: K, kind: str, body: dict[str, Any], clock: int) -> K:
    """The K after one more record; raises ``KeyError`` for a kind that is none of a run's."""
    after = copy.copy(k)
    after.seq += 1
    after.now = max(k.now, clock)
    FOLDS[kind](after, body)
    return after


def begin(thread: str, body: dict[str, Any], clock: int) -> K:
    """The K of a run that has just been intended; raises ``msgspec.ValidationError``."""
    return K(thread=thread, plan=msgspec.convert(body, Plan), opened=clock, now=clock)


# Each of these gets a fresh copy of K and may change that copy, never what its members refer to.


def _call(k: K, body: dict[str, Any]) -> None:
    call = Call(
        slot=body["slot"],
        attempt=body["attempt"],
        responder=body["responder"]["id"],
        kind=body["responder"]["kind"],
        called=k.now,
        deadline=body["deadline"],
        reserved=body["reserved"],
    )
    k.calls = {**k.calls, call.id: call}
    k.reserved += call.reserved


def _do(k: K, body: dict[str, Any]) -> None:
    """A response, or a person's word. Late ones are billed, never folded (P12)."""
    name = f"{body['slot']}#{body['attempt']}"
    call = k.calls[name]
    if body["status"] == "accepted":
        if call.status == "open" and k.ended is None:
            k.calls = {**k.calls, name: _extended(k, call, body)}
        return
    if call.status not in ("open", "withdrawn", "timeout") or call.settled or call.response:
        _repeated(k, call, body)
        return
    k.reserved -= call.reserved
    cost = float(body.get("cost", 0.0))
    # A provider that bills more than was agreed is told of, and never breaks the budget (P13).
    paid = min(cost, call.reserved)
    k.settled += paid
    k.overrun += cost - paid
    late = k.ended is not None or call.status != "open"
    if late:
        k.late = (*k.late, name)
    k.calls = {**k.calls, name: _answered(k, call, body, paid, late)}


def _extended(k: K, call: Call, body: dict[str, Any]) -> Call:
    """An eta moves the deadline, at most twice and never past the run's own end (P18)."""
    if call.extensions >= MAX_EXTENSIONS or "eta" not in body:
        return call
    deadline = min(max(call.deadline, int(body["eta"])), k.plan.ends)
    return msgspec.structs.replace(call, deadline=deadline, extensions=call.extensions + 1)


def _answered(k: K, call: Call, body: dict[str, Any], paid: float, late: bool) -> Call:
    status: CallStatus = call.status if late else body["status"]
    response = None
    if body["status"] == "ok" and not late:
        response = Response(
            call=call.id,
            responder=call.responder,
            value=body["value"],
            hash=body["hash"],
            seq=k.seq,
            trust=k.responder(call.responder).trust,
            confidence=body.get("confidence"),
            rationale=body.get("rationale"),
            obligations=tuple(body.get("obligations", ())),
        )
    return msgspec.structs.replace(
        call,
        status=status,
        reserved=0.0,
        settled=paid,
        response=response,
        problem=body.get("problem"),
        transport=bool(body.get("transport", False)),
    )


def _repeated(k: K, call: Call, body: dict[str, Any]) -> None:
    """The same answer again is nothing; another one is kept as a conflict, the first holds (P12)."""
    digest = body.get("hash")
    if digest and call.response and digest != call.response.hash:
        changed = msgspec.structs.replace(call, conflicts=(*call.conflicts, digest))
        k.calls = {**k.calls, call.id: changed}


def _tick(k: K, body: dict[str, Any]) -> None:
    k.ticks = k.ticks | {body["name"]}


def _learn(k: K, body: dict[str, Any]) -> None:
    k.learned = (*k.learned, body)
    for name, status in body.get("closed", {}).items():
        call = msgspec.structs.replace(k.calls[name], status=status)
        k.calls = {**k.calls, name: call}


def _cancel(k: K, body: dict[str, Any]) -> None:
    """Cancel wins only if it comes before the end (P14)."""
    if k.ended is None and k.cancelled is None:
        k.cancelled = body.get("reason") or "cancelled"


def _know(k: K, body: dict[str, Any]) -> None:
    if k.ended is not None:
        raise ValueError(f"run {k.thread} has ended once already")
    k.ended = body


def _trigger(k: K, body: dict[str, Any]) -> None:
    """Nothing of it concerns the run that triggered."""


FOLDS: dict[str, Callable[[K, dict[str, Any]], None]] = {
    "call": _call,
    "do": _do,
    "tick": _tick,
    "learn": _learn,
    "cancel": _cancel,
    "know": _know,
    "trigger": _trigger,
}
