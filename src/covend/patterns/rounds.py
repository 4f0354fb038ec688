"""A round: the same question to several responders at once, until it can be folded (P9, P11, P13).

A round is named by its pattern (``primary``, ``stage:2``); its calls have the slots ``NAME/0``,
``NAME/1``, …. It closes when everybody answered, when a stated quorum is reached or out of reach,
or when the deadline of those still silent is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from covend.patterns.asking import messages
from covend.patterns.choosing import Choice, choose
from covend.patterns.decision import Batch
from covend.patterns.responder import Responder
from covend.patterns.spec import MAX_LATENCY, Dial, Want
from covend.patterns.state import SECOND, Call, K, Response

TRANSPORT_ATTEMPTS = 3
"""How often one slot is called when the transport fails; another answer is not asked for."""

REMIND_AT = (0.5, 0.8)
"""Parts of a person's SLA after which a silent one is reminded (P18)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pattern wants of one round."""

    round: str
    wants: Sequence[Want]
    top_k: int
    role: str = "answer"
    dial: Dial = Dial()
    timeout_secs: float | None = None
    quorum: int | None = None
    exclude: frozenset[str] = frozenset()
    show: Any = None
    """What the responder sees beside the question: a folded answer to audit, two to choose from."""
    free: bool = False
    """Only responders that cost nothing (P13: escalate when the budget is exhausted)."""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """A round that cannot begin: one of P19's codes, with its reason."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A round that is over: the valid responses by slot, and what became of the others."""

    responses: tuple[Response, ...]
    quorum_met: bool
    problems: dict[str, str] = field(default_factory=dict[str, str])
    silent: tuple[str, ...] = ()
    """Calls still open: the next ``learn`` or the end must close them (``closing``)."""

    @property
    def code(self) -> str:
        """Which of P19's errors this is, should nobody go on from here."""
        if self.responses and not self.quorum_met:
            return "quorum_not_met"
        kinds = set(self.problems.values())
        if self.silent or kinds == {"timeout"}:
            return "latency_timeout"
        if kinds == {"invalid"}:
            return "answer_shape_mismatch"
        return "responder_unavailable"


def start(k: K, ask: Ask) -> Batch | NotAsked:
    """The calls of a round's beginning, or why it cannot begin."""
    if k.now >= k.plan.ends:
        return NotAsked("latency_timeout", "the query's time is over")
    choice = choose(k, ask.wants, ask.top_k, ask.exclude)
    if not choice.chosen:
        return NotAsked(choice.code, choice.reason)
    able, reason = affordable(k, ask, choice)
    if not able:
        return NotAsked("cost_budget_exceeded", reason)
    if ask.quorum is not None and len(able) < ask.quorum:
        return NotAsked(
            "quorum_not_met", f"{ask.quorum} must answer, {len(able)} can be asked in {ask.round}"
        )
    calls = [call(k, ask, f"{ask.round}/{index}", 1, who) for index, who in enumerate(able)]
    return Batch(calls=tuple(calls))


def affordable(k: K, ask: Ask, choice: Choice) -> tuple[list[Responder], str]:
    """Who of the chosen can be paid for in the worst case, best first (P13)."""
    remaining = k.remaining()
    able: list[Responder] = []
    for responder in choice.chosen:
        worst = worst_cost(k, ask.dial, responder)
        if ask.free and worst > 0:
            continue
        if remaining is not None:
            if worst > remaining:
                continue
            remaining -= worst
        able.append(responder)
    left = "nothing may be spent" if ask.free else f"{k.remaining()} dollars are left"
    return able, f"{left}, and each of {len(choice.chosen)} responders may cost more"


def worst_cost(k: K, dial: Dial, responder: Responder) -> float:
    """What one call may cost at most: the prompt's size is known, the answer's is bounded."""
    cost = responder.cost
    prompt_tokens = len(k.query.question) + len(str(k.plan.input))  # no tokenizer makes more
    answer_tokens = dial.max_tokens or k.query.dial.max_tokens or 1024
    return (
        cost.per_call
        + cost.per_1k_input * prompt_tokens / 1000
        + cost.per_1k_output * answer_tokens / 1000
    )


def call(k: K, ask: Ask, slot: str, attempt: int, responder: Responder) -> dict[str, Any]:
    """The body of a ``call`` record: everything that dispatching it (again) takes (P1, P4)."""
    limit = min(ask.timeout_secs or MAX_LATENCY[responder.kind], MAX_LATENCY[responder.kind] * 52)
    deadline = min(k.now + round(limit * SECOND), k.plan.ends)
    name = f"{slot}#{attempt}"
    timers = [{"name": f"deadline:{name}", "due": deadline}]
    if responder.kind == "actor":
        timers += reminders(name, k.now, deadline, responder)
    return {
        "slot": slot,
        "attempt": attempt,
        "key": f"{k.thread}/{name}",
        "responder": {"id": responder.id, "kind": responder.kind, "did": responder.did},
        "role": ask.role,
        "ask": messages(k, ask.role, merged(k.query.dial, ask.dial), ask.show),
        "reserved": worst_cost(k, ask.dial, responder),
        "deadline": deadline,
        "timers": timers,
    }


def reminders(name: str, now: int, deadline: int, responder: Responder) -> list[dict[str, Any]]:
    """A person is reminded twice within the SLA; when it is over, the delegates are asked (P18)."""
    sla = round(responder.sla_secs * SECOND) if responder.sla_secs else deadline - now
    timers = [
        {"name": f"remind:{name}:{round(part * 100)}", "due": now + round(sla * part)}
        for part in REMIND_AT
    ]
    if responder.delegates and now + sla < deadline:
        timers.append({"name": f"delegate:{name}", "due": now + sla})
    return timers


def merged(base: Dial, change: Dial) -> Dial:
    """The dial of a call: what the pattern says goes before what the query says."""
    fields = {
        name: value
        for name in base.__struct_fields__
        if (value := getattr(change, name)) not in (None, False, {})
    }
    return Dial(**{**{name: getattr(base, name) for name in base.__struct_fields__}, **fields})


def begun(k: K, name: str) -> bool:
    """Whether a round of this name was ever started."""
    return any(call.slot.startswith(name + "/") for call in k.calls.values())


def progress(k: K, ask: Ask) -> Batch | Closed | None:
    """How a round that has begun stands: to call again, closed, or None while it is open (P11)."""
    calls = k.round(ask.round)
    again = [retried(k, ask, call) for call in calls if fails_in_transit(k, call)]
    if again:
        return Batch(calls=tuple(again))
    valid = [call.response for call in calls if call.status == "ok" and call.response]
    waiting = [call for call in calls if call.status == "open" and call.deadline > k.now]
    quorum = ask.quorum or 1
    reached = ask.quorum is not None and len(valid) >= quorum
    hopeless = len(valid) + len(waiting) < quorum
    if waiting and not reached and not hopeless:
        return None
    return Closed(
        responses=tuple(valid),
        quorum_met=len(valid) >= quorum,
        problems={
            call.id: "timeout" if call.status == "open" else call.status
            for call in calls
            if call.status != "ok" and call not in waiting
        },
        silent=tuple(call.id for call in calls if call.status == "open"),
    )


def closing(k: K, closed: Closed) -> dict[str, str]:
    """The ``closed`` member of the next ``learn``: who was waited for long enough, or need not be."""
    return {
        name: "timeout" if k.calls[name].deadline <= k.now else "withdrawn"
        for name in closed.silent
    }


def fails_in_transit(k: K, call: Call) -> bool:
    """Whether a call never got through, and there is an attempt, time and money for another."""
    remaining = k.remaining()
    return (
        call.status == "error"
        and call.transport
        and call.attempt < TRANSPORT_ATTEMPTS
        and k.now < k.plan.ends
        and (remaining is None or worst_cost(k, Dial(), k.responder(call.responder)) <= remaining)
    )


def retried(k: K, ask: Ask, failed: Call) -> dict[str, Any]:
    """The same slot again, as a new attempt."""
    return call(k, ask, failed.slot, failed.attempt + 1, k.responder(failed.responder))
