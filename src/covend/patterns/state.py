"""K: everything a run knows, folded from its records (P2).

| record | how it changes K |
|---|---|
| intend | the plan: K begins |
| call | a call is open; its worst cost is reserved |
| do | a call has its response, or a person's word on it; the cost is settled |
| tick | time has passed, nothing else: what is due follows from the clock, never from a name |
| learn | the pattern noted something; calls may be closed |
| cancel | the run is to end |
| know | the run has ended; no call stays open |
| trigger | the next query was begun |

``fold`` is pure: it never changes the K it is given, and it is total over inputs: a response to a
call that was never made changes nothing. Times are record clocks, microseconds since 1970. Records
say money in US dollars; K counts it in whole nano-dollars, which add up exactly in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from covend.patterns.query.spec import Query
from covend.patterns.reducers import CURRENT, RULES, Rules
from covend.patterns.responders.responder import Responder
from covend.resolving import resolved

SECOND = 1_000_000
"""Microseconds, in which clocks count."""
DOLLAR = 1_000_000_000
"""Nano-dollars, in which K counts money."""
INPUTS = frozenset({"intend", "do", "tick", "cancel"})
"""What comes from outside; every other kind of record follows from these."""

MAX_EXTENSIONS = 2
"""How often an eta may move a person's deadline (P18)."""

CallStatus = Literal["open", "ok", "invalid", "error", "declined", "timeout", "withdrawn"]


def nano(usd: float) -> int:
    """US dollars as whole nano-dollars."""
    return round(usd * DOLLAR) if usd else 0


def usd(amount: int) -> float:
    """Nano-dollars as US dollars, the same number for the same amount on every machine."""
    if not amount:
        return 0
    whole, rest = divmod(amount, DOLLAR)
    return amount / DOLLAR if rest else whole


def call_id(slot: str, attempt: int) -> str:
    """The id of a call in its run, ``SLOT#ATTEMPT``; no slot has a ``#`` in it."""
    return f"{slot}#{attempt}"


def call_id_of(body: Mapping[str, Any]) -> str:
    """The id of the call that a ``call`` or ``do`` body is about, or a row of the store."""
    return call_id(body["slot"], body["attempt"])


def slot_of(call: str) -> str:
    """The slot of a call, by its id."""
    return call.rpartition("#")[0]


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a run is pinned to: the body of its ``intend`` record (P1, P5).

    ``responders`` are copies from the registry, ``plan`` is the hash of query and responders,
    ``budget`` what the run may spend, ``ends`` the clock at which it must have ended. ``chain``
    names what caused it (``nesting.chain``), oldest first, and ``depth`` how deep it is nested.
    ``joins_of`` is the did whose joins it has a part in: of whoever asked; None for an operator's.
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
    joins_of: str | None = None
    timers: tuple[dict[str, Any], ...] = ()


class Response(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One response as it was folded in: the value, how sure its giver was, and who that is.

    ``by`` is the did of the person who gave it, who may be a delegate of the one asked.
    """

    call: str
    responder: str
    value: Any
    hash: str
    seq: int
    trust: float = 0.5
    confidence: float | None = None
    rationale: str | None = None
    obligations: tuple[dict[str, Any], ...] = ()
    by: str | None = None


class Call(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One call of one slot: to whom, since when, until when, and what came of it.

    ``id`` is its ``call_id``, unique in the run; ``round`` is what its slot is a place of.
    ``answered`` says that a response has come, even if too late; ``hash`` is that of the first one.
    ``overrun`` is what was billed above the reserve.
    ``indeterminate`` says that the transport failed when the work may have been done: what it may
    cost stays ``reserved`` until the same work, under the same ``key``, is called again (P4, P13).
    ``delegate_due`` is when the next delegate of a silent person is asked, ``delegated`` how many
    were; ``postponed`` until a ``learn`` says that a promise came between. ``told`` is how many
    extensions have been written into a ``learn``.
    """

    id: str
    round: str
    slot: str
    attempt: int
    responder: str
    kind: str
    called: int
    deadline: int
    reserved: int = 0
    settled: int = 0
    overrun: int = 0
    status: CallStatus = "open"
    problem: str | None = None
    key: str = ""
    transport: bool = False
    indeterminate: bool = False
    answered: bool = False
    hash: str | None = None
    response: Response | None = None
    conflicts: tuple[str, ...] = ()
    extensions: int = 0
    told: int = 0
    delegate_due: int | None = None
    delegated: int = 0
    postponed: bool = False

    def left_open(self, now: int) -> CallStatus:
        """How the call ends if nobody waits for it any longer; its status if it has ended."""
        if self.status != "open":
            return self.status
        return "timeout" if self.deadline <= now else "withdrawn"


class K(msgspec.Struct, kw_only=True):
    """One run's accumulated state; see the module. A value: ``fold`` gives a new one.

    ``query`` is that of its plan, ``rules`` are what the plan's reducer decides.
    """

    thread: str
    plan: Plan
    query: Query
    rules: Rules
    opened: int
    now: int
    seq: int = 1
    calls: dict[str, Call] = {}
    learned: tuple[dict[str, Any], ...] = ()
    cancelled: str | None = None
    ended: dict[str, Any] | None = None
    late: tuple[str, ...] = ()
    reserved: int = 0
    settled: int = 0
    overrun: int = 0

    def left(self) -> int | None:
        """Nano-dollars not yet spent nor reserved, never below 0; None without a limit (P13)."""
        if self.plan.budget is None:
            return None
        left = nano(self.plan.budget) - self.reserved - self.settled
        return max(0, left - self.overrun) if self.rules.overrun_is_spent else left

    def remaining(self) -> float | None:
        """US dollars not yet spent nor reserved; None without a limit (P13)."""
        left = self.left()
        return None if left is None else usd(left)

    def responder(self, name: str) -> Responder:
        """The plan's copy of a responder; raises ``KeyError``."""
        for found in self.plan.responders:
            if found.id == name:
                return found
        raise KeyError(f"the plan of {self.thread} has no responder {name!r}")

    def round(self, name: str) -> list[Call]:
        """Every call of a round, in the order of its slots, the last attempt of each."""
        last: dict[str, Call] = {}
        for call in self.calls.values():
            if call.round == name:
                last[call.slot] = call
        return list(last.values())

    def responses(self, names: Iterable[str]) -> tuple[Response, ...]:
        """The valid responses of these calls."""
        found = (self.calls[name].response for name in names)
        return tuple(response for response in found if response is not None)

    def noted(self, member: str) -> list[dict[str, Any]]:
        """The ``learn`` bodies that have this member, oldest first."""
        return [body for body in self.learned if member in body]


def fold(k: K, kind: str, body: dict[str, Any], clock: int) -> K:
    """The K after one more record; raises ``KeyError`` for a kind that is none of a run's."""
    after = msgspec.structs.replace(k, seq=k.seq + 1, now=max(k.now, clock))
    FOLDS[kind](after, body)
    return after


def begin(thread: str, body: dict[str, Any], clock: int) -> K:
    """The K of a run that has just been intended; raises ``msgspec.ValidationError``."""
    plan = msgspec.convert(body, resolved(Plan))
    # A run of a later covend is only read, by our newest rules (P5).
    rules = RULES.get(plan.reducer, RULES[CURRENT])
    return K(thread=thread, plan=plan, query=plan.query, rules=rules, opened=clock, now=clock)


# Each of these gets a fresh copy of K and may change that copy, never what its members refer to.


def _replaced(k: K, call: Call) -> None:
    k.calls = {**k.calls, call.id: call}


def _call(k: K, body: dict[str, Any]) -> None:
    """Reserve the worst case; the same work again takes over what was kept for it (P13)."""
    slot, attempt, responder = body["slot"], body["attempt"], body["responder"]
    call = Call(
        id=call_id(slot, attempt),
        round=slot.rpartition("/")[0],
        slot=slot,
        attempt=attempt,
        responder=responder["id"],
        kind=responder["kind"],
        called=k.now,
        deadline=body["deadline"],
        reserved=nano(body["reserved"]),
        key=body["key"],
        delegate_due=_due(body, "delegate:"),
    )
    before = k.calls.get(call_id(call.slot, call.attempt - 1))
    if before is not None and before.indeterminate:
        k.reserved -= before.reserved
        _replaced(k, msgspec.structs.replace(before, reserved=0))
    _replaced(k, call)
    k.reserved += call.reserved


def _due(body: dict[str, Any], prefix: str) -> int | None:
    """When a record's timer of that name is due; None if it sets none."""
    for timer in body["timers"]:
        if timer["name"].startswith(prefix):
            due: int = timer["due"]
            return due
    return None


def _do(k: K, body: dict[str, Any]) -> None:
    """A response, or a person's word: the first counts, a late one is only billed (P12)."""
    call = k.calls.get(call_id_of(body))
    if call is None:
        return
    if body["status"] == "accepted":
        if call.status == "open" and k.now < call.deadline:
            _replaced(k, _accepted(k, call, body))
    elif call.answered:
        _repeated(k, call, body)
    else:
        _answered(k, call, body)


def _accepted(k: K, call: Call, body: dict[str, Any]) -> Call:
    """An eta moves the deadline, at most twice and never past the run's own end (P18).

    Who accepted is not silent any more: no delegate is asked before the promised time is over.
    """
    eta = int(body.get("eta") or 0)
    deadline = min(eta, k.plan.ends)
    if call.extensions < MAX_EXTENSIONS and deadline > call.deadline:
        return msgspec.structs.replace(
            call, deadline=deadline, extensions=call.extensions + 1, delegate_due=None
        )
    due = call.delegate_due
    if not (k.rules.promises_end and eta and due is not None and eta < call.deadline):
        return msgspec.structs.replace(call, delegate_due=None)
    return msgspec.structs.replace(call, delegate_due=max(eta, due), postponed=eta > due)


def _answered(k: K, call: Call, body: dict[str, Any]) -> None:
    """Settle the cost; what a provider bills above the reserve is overrun, apart from it (P13).

    Where nobody knows whether the work was done, it may still be billed: the reserve stays.
    """
    cost = nano(body.get("cost") or 0)
    paid = min(cost, call.reserved)
    unknown = bool(body.get("indeterminate")) and k.rules.keeps_the_key_of_lost_work
    kept = call.reserved - paid if unknown else 0
    k.reserved -= call.reserved - kept
    k.settled += paid
    k.overrun += cost - paid
    late = call.status != "open" or k.now >= call.deadline
    status: CallStatus = call.left_open(k.now) if late else body["status"]
    if late:
        k.late = (*k.late, call.id)
    answered = msgspec.structs.replace(
        call,
        status=status,
        reserved=kept,
        settled=paid,
        overrun=cost - paid,
        answered=True,
        hash=body.get("hash"),
        response=_response(k, call, body) if status == "ok" else None,
        problem=body.get("problem"),
        transport=bool(body.get("transport", False)),
        indeterminate=unknown,
    )
    _replaced(k, answered)


def _response(k: K, call: Call, body: dict[str, Any]) -> Response:
    return Response(
        call=call.id,
        responder=call.responder,
        value=body["value"],
        hash=body["hash"],
        seq=k.seq,
        trust=k.responder(call.responder).trust,
        confidence=body.get("confidence"),
        rationale=body.get("rationale"),
        obligations=tuple(body.get("obligations") or ()),
        by=body.get("by"),
    )


def _repeated(k: K, call: Call, body: dict[str, Any]) -> None:
    """The same answer again is nothing; another is kept as a conflict, the first holds (P12)."""
    digest = body.get("hash")
    if digest and digest != call.hash and digest not in call.conflicts:
        _replaced(k, msgspec.structs.replace(call, conflicts=(*call.conflicts, digest)))


def _tick(k: K, body: dict[str, Any]) -> None:
    """A timer is only a reason to look at the clock, so one that comes early does nothing (P20)."""


def _learn(k: K, body: dict[str, Any]) -> None:
    k.learned = (*k.learned, body)
    for name, status in body.get("closed", {}).items():
        _replaced(k, msgspec.structs.replace(k.calls[name], status=status))
    for name in body.get("extended", {}):
        call = k.calls[name]
        _replaced(k, msgspec.structs.replace(call, told=call.extensions))
    for name in body.get("postponed", {}):
        _replaced(k, msgspec.structs.replace(k.calls[name], postponed=False))
    for name in body.get("delegate", {}):
        call = k.calls[name]
        due = _due(body, f"delegate:{name}")
        _replaced(k, msgspec.structs.replace(call, delegated=call.delegated + 1, delegate_due=due))


def _cancel(k: K, body: dict[str, Any]) -> None:
    """Cancel wins only if it comes before the end (P14)."""
    if k.ended is None and k.cancelled is None:
        k.cancelled = body.get("reason") or "cancelled"


def _know(k: K, body: dict[str, Any]) -> None:
    """The end, once: what is still open is timed out or withdrawn (P14, P20)."""
    if k.ended is not None:
        raise ValueError(f"run {k.thread} has ended once already")
    k.ended = body
    k.calls = {
        name: msgspec.structs.replace(call, status=call.left_open(k.now))
        if call.status == "open"
        else call
        for name, call in k.calls.items()
    }


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
