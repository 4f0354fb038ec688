"""A round: the same question to several responders at once, until it can be folded (P9, P11, P13).

A round is named by its pattern (``primary``, ``stage:2``); its calls have the slots ``NAME/0``,
``NAME/1``, …. It closes when everybody answered, when a stated quorum is reached or out of reach,
or when the deadline of those still silent is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from covend.patterns.answers.asking import messages
from covend.patterns.decision import Batch, Wait
from covend.patterns.query.spec import MAX_LATENCY, Dial, Want
from covend.patterns.responders.choosing import Choice, choose, parts
from covend.patterns.responders.responder import Responder
from covend.patterns.state import SECOND, Call, K, Response, call_id, nano, usd

TRANSPORT_ATTEMPTS = 3
"""How often one slot is called when the transport fails; another answer is not asked for."""

ANSWER_TOKENS = 1024
"""How long an answer may be where money is limited and nobody said: a worst case must exist."""

REMIND_AT = (0.5, 0.8)
"""Parts of a person's SLA after which a silent one is reminded (P18)."""

UNSAID = Dial()
"""A dial that changes nothing of the query's own."""

encoded = msgspec.json.Encoder().encode


class Ask(msgspec.Struct, frozen=True):
    """What a pattern wants of one round.

    ``show`` is what the responder sees beside the question: an answer to audit, two to choose from.
    ``apart`` names the rounds that whoever is asked here has had no part in.
    ``free`` admits only responders that cost nothing. ``max_cost_usd`` limits this round alone.
    ``final`` says that nobody else is asked after this round, should it come to nothing (P9).
    ``resends`` is how many failures of the transport the whole run makes good (None: each slot has
    ``TRANSPORT_ATTEMPTS``).
    """

    round: str
    wants: Sequence[Want]
    top_k: int = 1
    role: str = "answer"
    dial: Dial = UNSAID
    timeout_secs: float | None = None
    quorum: int | None = None
    apart: tuple[str, ...] = ()
    show: Any = None
    free: bool = False
    max_cost_usd: float | None = None
    resends: int | None = None
    final: bool = True


class Slot(msgspec.Struct, frozen=True):
    """One place in a round: its responder, the worst cost reserved, and which attempt this is.

    Another attempt has the deadline of the one before: failing does not buy time. ``key`` is the
    idempotency key where it is not the call's own.
    """

    name: str
    responder: Responder
    reserved: int
    attempt: int = 1
    deadline: int | None = None
    key: str | None = None


class NotAsked(msgspec.Struct, frozen=True):
    """A round that cannot begin: one of P19's codes, with its reason."""

    code: str
    reason: str


class Closed(msgspec.Struct, frozen=True):
    """A round that is over: the valid responses by slot, and what became of the others."""

    responses: tuple[Response, ...]
    quorum_met: bool
    problems: dict[str, str] = {}

    @property
    def code(self) -> str:
        """Which of P19's errors this is, should nobody go on from here."""
        kinds = set(self.problems.values())
        if self.responses or "withdrawn" in kinds:  # withdrawn: its quorum is out of reach
            return "quorum_not_met"
        if kinds == {"timeout"}:
            return "latency_timeout"
        if kinds == {"invalid"}:
            return "answer_shape_mismatch"
        return "responder_unavailable"

    @property
    def reason(self) -> str:
        """Who failed and how, for people."""
        told = ", ".join(f"{call} {status}" for call, status in self.problems.items())
        return f"{len(self.responses)} valid answers; {told or 'nobody else was asked'}"


Stand = Batch | NotAsked | Closed | Wait


def stand(k: K, ask: Ask) -> Stand:
    """How a round stands: to begin or to call again, impossible, over, or still open (``Wait``)."""
    calls = k.round(ask.round)
    return progress(k, ask, calls) if calls else start(k, ask)


def start(k: K, ask: Ask) -> Batch | NotAsked:
    """The calls of a round's beginning, or why it cannot begin."""
    if k.now >= k.plan.ends:
        return NotAsked("latency_timeout", "the query's time is over")
    taken = parts(k, [call for name in ask.apart for call in k.round(name)])
    choice = choose(k, ask.wants, ask.top_k, taken, final=ask.final)
    if not choice.chosen:
        return NotAsked(choice.code, choice.reason)
    question = asked(k, ask)
    able = affordable(k, ask, question, choice)
    if not able:
        return NotAsked("cost_budget_exceeded", unaffordable(k, ask, choice))
    if ask.quorum is not None and len(able) < ask.quorum:
        return NotAsked(
            "quorum_not_met", f"{ask.quorum} must answer, {len(able)} can be asked in {ask.round}"
        )
    calls = [
        call(k, ask, question, Slot(f"{ask.round}/{index}", who, worst), relevance)
        for index, (who, relevance, worst) in enumerate(able)
    ]
    return Batch(calls=tuple(calls))


def asked(k: K, ask: Ask) -> dict[str, Any]:
    """What every responder of the round is asked: the ``ask`` member of its calls.

    Where money is limited so is the answer, or it could cost more than was reserved (P13).
    """
    dial = merged(k.query.dial, ask.dial)
    own = k.rules.round_limit_holds and round_limit(ask) is not None
    if (own or k.plan.budget is not None) and dial.max_tokens is None:
        dial = msgspec.structs.replace(dial, max_tokens=ANSWER_TOKENS)
    return messages(k, ask.role, dial, ask.show)


def affordable(
    k: K, ask: Ask, question: dict[str, Any], choice: Choice
) -> list[tuple[Responder, float | None, int]]:
    """Which of the chosen can be paid for in the worst case (P13).

    Best first, each with its relevance and its worst cost.
    """
    left = room(k, ask)
    able: list[tuple[Responder, float | None, int]] = []
    further = ask.free and k.rules.free_are_found
    for one in choice.ranked if further else choice.chosen:
        worst = worst_cost(k, question, one.responder)
        if left is not None:
            if worst > left:
                continue
            left -= worst
        able.append((one.responder, one.relevance, worst))
    return able[: ask.top_k]


def round_limit(ask: Ask) -> int | None:
    """Nano-dollars that this round alone may cost; None without a limit of its own."""
    if ask.free:
        return 0
    return None if ask.max_cost_usd is None else nano(ask.max_cost_usd)


def room(k: K, ask: Ask) -> int | None:
    """Nano-dollars that may yet be reserved for a round; None without any limit (P13)."""
    limits = [] if (left := k.left()) is None else [left]
    if (own := round_limit(ask)) is not None:
        calls = [call for call in k.calls.values() if call.round == ask.round]
        spent = sum(call.reserved + call.settled for call in calls)
        if k.rules.round_overrun_is_spent:
            spent += sum(call.overrun for call in calls)
        limits.append(own - spent)
    return min(limits, default=None)


def unaffordable(k: K, ask: Ask, choice: Choice) -> str:
    """Why none of the chosen can be asked, for people."""
    remaining = k.remaining()
    left = "without limit" if remaining is None else f"{remaining:.9g} dollars"
    own = round_limit(ask)
    only = "" if own is None else f", {usd(own):.9g} of them in {ask.round}"
    return f"may spend {left}{only}; each of {len(choice.chosen)} responders may cost more"


def worst_cost(k: K, question: dict[str, Any], responder: Responder) -> int:
    """Nano-dollars one call may cost at most: a prompt has no more tokens than bytes (P13)."""
    cost = responder.cost
    if not (cost.per_1k_input or cost.per_1k_output):
        return nano(cost.per_call)
    dial, shape = question["dial"], question["shape"]
    prompt_tokens = len(encoded(question["messages"]))
    if k.rules.whole_request_is_counted:
        beside = (dial.get("extra"), shape.get("schema"))
        prompt_tokens += sum(len(encoded(part)) for part in beside if part)
    answer_tokens: int = dial.get("max_tokens") or ANSWER_TOKENS
    return nano(cost.of(prompt_tokens, answer_tokens))


def call(
    k: K, ask: Ask, question: dict[str, Any], slot: Slot, relevance: float | None = None
) -> dict[str, Any]:
    """The body of a ``call`` record: everything that dispatching it (again) takes (P1, P4)."""
    who = slot.responder
    limit = ask.timeout_secs or MAX_LATENCY[who.kind]
    deadline = slot.deadline or min(k.now + round(limit * SECOND), k.plan.ends)
    name = call_id(slot.name, slot.attempt)
    timers = [{"name": f"deadline:{name}", "due": deadline}]
    if who.kind == "actor":
        timers += reminders(name, k.now, deadline, who)
    return {
        "slot": slot.name,
        "attempt": slot.attempt,
        "key": slot.key or f"{k.thread}/{name}",
        "responder": {"id": who.id, "kind": who.kind, "did": who.did},
        "relevance": None if relevance is None else round(relevance, 6),
        "role": ask.role,
        "ask": question,
        "reserved": usd(slot.reserved),
        "deadline": deadline,
        "timers": timers,
    }


def reminders(name: str, now: int, deadline: int, responder: Responder) -> list[dict[str, Any]]:
    """A person is reminded twice within the SLA; when it is over, the delegates are asked (P18)."""
    sla = round(responder.sla_secs * SECOND) if responder.sla_secs else deadline - now
    due = {f"remind:{name}:{round(part * 100)}": now + round(sla * part) for part in REMIND_AT}
    if responder.delegates:
        due[f"delegate:{name}"] = now + sla
    return [{"name": timer, "due": at} for timer, at in due.items() if at < deadline]


def reminder_of(timer: str) -> str:
    """The call whose person a timer of this name reminds; empty for any other timer.

    >>> reminder_of("remind:primary/0#1:50")
    'primary/0#1'
    """
    kind, _, rest = timer.partition(":")
    return rest.rpartition(":")[0] if kind == "remind" else ""


def merged(base: Dial, change: Dial) -> Dial:
    """The dial of a call: what the pattern says wins over what the query says."""
    if change is UNSAID:
        return base
    said = {
        name: value
        for name in change.__struct_fields__
        if (value := getattr(change, name)) != getattr(UNSAID, name)
    }
    if "extra" in said:
        said["extra"] = base.extra | change.extra
    return msgspec.structs.replace(base, **said) if said else base


def progress(k: K, ask: Ask, calls: list[Call]) -> Batch | Closed | Wait:
    """How a round that has begun stands: to call again, closed, or still open (P11).

    A quorum counts valid answers; it closes the round when reached and when out of reach.
    """
    valid: list[Response] = []
    lost: list[Call] = []
    waiting = 0
    for call in calls:
        if call.response is not None:
            valid.append(call.response)
        elif call.status == "open":
            waiting += call.deadline > k.now
        elif call.transport and call.status == "error":
            lost.append(call)
    quorum = ask.quorum or 1
    reached = ask.quorum is not None and len(valid) >= quorum
    if not reached:
        again = resends(k, ask, lost) if lost else ()
        if len(valid) + waiting + len(again) >= quorum:
            if again:
                return Batch(calls=again)
            if waiting:
                return Wait()
    return Closed(
        responses=tuple(valid),
        quorum_met=len(valid) >= quorum,
        problems={call.id: call.left_open(k.now) for call in calls if not call.response},
    )


def closing(k: K) -> dict[str, str]:
    """The ``closed`` member of the ``learn`` between two rounds: calls that nobody waits for now.

    The end of a run closes what is still open without one.
    """
    return {name: call.left_open(k.now) for name, call in k.calls.items() if call.status == "open"}


def resends(k: K, ask: Ask, lost: list[Call]) -> tuple[dict[str, Any], ...]:
    """New attempts at slots whose calls were lost to the transport (P4).

    Only while attempts, time and money are left; the question and the responder stay the same.
    Where the work may have been done, the attempt has the same key, so that it is done once, and
    takes over what was reserved. Where the responder refused, it has a key of its own.
    """
    late_too = not k.rules.late_errors_uncounted
    errors = sum(c.transport and (late_too or c.status == "error") for c in k.calls.values())
    question = asked(k, ask)
    left = room(k, ask) if k.rules.round_limit_holds else k.left()
    again: list[dict[str, Any]] = []
    for before in lost:
        responder = k.responder(before.responder)
        worst = worst_cost(k, question, responder)
        spent = (
            before.attempt >= TRANSPORT_ATTEMPTS if ask.resends is None else errors > ask.resends
        )
        able = None if left is None else left + before.reserved
        if spent or k.now >= before.deadline or (able is not None and worst > able):
            continue
        left = None if able is None else able - worst
        key = before.key if before.indeterminate else None
        slot = Slot(before.slot, responder, worst, before.attempt + 1, before.deadline, key)
        again.append(call(k, ask, question, slot))
    return tuple(again)


def notices(k: K) -> Batch | None:
    """What follows for people's calls, whatever the pattern: new deadlines and delegates (P18).

    One ``learn`` for each eta that extended a deadline or keeps a delegate waiting, and for each
    delegate whose time has come.
    """
    learn: list[dict[str, Any]] = []
    for name, call in k.calls.items():
        if call.kind != "actor" or call.status != "open" or call.deadline <= k.now:
            continue
        if call.extensions > call.told:
            timer = {"name": f"deadline:{name}", "due": call.deadline}
            learn.append({"extended": {name: call.deadline}, "timers": [timer]})
        elif call.postponed:
            timer = {"name": f"delegate:{name}", "due": call.delegate_due}
            learn.append({"postponed": {name: call.delegate_due}, "timers": [timer]})
        elif call.delegate_due is not None and call.delegate_due <= k.now:
            learn.append(delegated(k, name, call))
    return Batch(learn=tuple(learn)) if learn else None


def overdue(k: K) -> Batch | None:
    """A ``learn`` that times out calls past their deadline while their round waits for others."""
    closed = {
        name: "timeout"
        for name, call in k.calls.items()
        if call.status == "open" and call.deadline <= k.now
    }
    return Batch(learn=({"closed": closed},)) if closed else None


def delegated(k: K, name: str, call: Call) -> dict[str, Any]:
    """The ``learn`` that asks the next delegate as well; another SLA later, the one after."""
    responder = k.responder(call.responder)
    did = responder.delegates[call.delegated]
    due = k.now + round((responder.sla_secs or 0) * SECOND)
    more = call.delegated + 1 < len(responder.delegates) and k.now < due < call.deadline
    timers = [{"name": f"delegate:{name}", "due": due}] if more else []
    return {"delegate": {name: did}, "timers": timers}


def is_overtaken(k: K, timer: str, due: int) -> bool:
    """Whether a timer was set anew since it was due, as one whose tick is repeated may be.

    Storing the tick would take the new one away (P20).
    """
    kind, _, name = timer.partition(":")
    call = k.calls.get(name)
    if call is None or call.status != "open":
        return False
    now_due = {"deadline": call.deadline, "delegate": call.delegate_due}.get(kind)
    return now_due is not None and due < now_due
