"""Tasks of people: their names, what is shown of them, and which words are accepted (P18). Pure.

| word | accepted while | becomes |
|---|---|---|
| accept | the task is open; twice at most with an eta | ``do`` accepted |
| decline | the task is open, and is nobody else's beside | ``do`` declined, for good |
| submit | the task is open and the answer has its shape | ``do`` ok |

The same word again is accepted and changes nothing; everything else is refused with 409.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from covend.patterns.spec import MAX_LATENCY_SECS, Ensemble, Verify
from covend.patterns.state import MAX_EXTENSIONS, SECOND, Call, K
from covend.patterns.understanding import Raw, understood
from covend.patterns.verify import JUDGE
from covend.questions import ActOnTask, refusal

DECLINE_REASONS = ("out_of_domain", "overbooked", "conflict_of_interest", "other")
STATES = {"ok": "submitted", "timeout": "expired"}
"""What a call's status is called in the inbox, where it has another name."""


def task_id(thread: str, call: str) -> str:
    """The name of a call's task, fit for a URL.

    >>> task_id("q-1", "tier:2/0#1")
    'q-1~tier:2~0~1'
    """
    slot, _, attempt = call.rpartition("#")
    return f"{thread}~{slot.replace('/', '~')}~{attempt}"


def parse_task(name: str) -> tuple[str, str] | None:
    """The thread and the call that a task's name says, None for one that is none.

    >>> parse_task("q-1~tier:2~0~1")
    ('q-1', 'tier:2/0#1')
    """
    parts = name.rsplit("~", 3)
    if len(parts) != 4 or not all(parts):
        return None
    thread, round_name, index, attempt = parts
    return thread, f"{round_name}/{index}#{attempt}"


def shown(
    thread: str, body: dict[str, Any], *, state: str, due: int | None, opened: int, seq: int
) -> dict[str, Any]:
    """A task for its person: what is asked, in which form, until when; from its ``call`` body."""
    ask = body["ask"]
    call = f"{body['slot']}#{body['attempt']}"
    return {
        "id": task_id(thread, call),
        "seq": seq,
        "thread": thread,
        "state": state,
        "did": body["responder"].get("did"),
        "role": body["role"],
        "question": ask["question"],
        "input": ask.get("input"),
        "show": ask.get("show"),
        "answer_shape": ask["shape"],
        "opened": opened,
        "due": due if due is not None else body["deadline"],
    }


def may_speak(k: K, call: Call) -> frozenset[str]:
    """The dids whose word counts: the person asked, and the delegates asked in his place."""
    responder = k.responder(call.responder)
    delegates = responder.delegates[: call.delegated]
    return frozenset(did for did in (responder.did, *delegates) if did)


def word(
    k: K, body: dict[str, Any], order: ActOnTask, now: int, promises: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What a person's word amounts to: the ``do`` body to record, or the refusal, or neither.

    Neither is for a word that changes nothing: the same answer again, or the same promise.
    ``promises`` are those that were recorded.
    """
    call = k.calls[f"{body['slot']}#{body['attempt']}"]
    if order.did not in may_speak(k, call):
        return None, refusal(403, "not_yours", f"this task is not for {order.did}")
    if order.act != "decline" and has_another_part(k, call, order.did):
        text = f"{order.did} answered another part of this query: this one is for somebody else"
        return None, refusal(403, "one_part_each", text)
    if problem := _misspoken(order):
        return None, refusal(422, "invalid_word", problem["problem"], [problem])
    made = _made(k, body, order, now)
    state = STATES.get(call.status, call.status)
    if said_already(call, order, made, promises):
        return None, None
    if call.status != "open" or call.deadline <= now:
        state = "expired" if call.status == "open" else state
        return None, refusal(409, state, f"this task is over: it is {state}")
    promised = [each for each in promises if each.get("eta", now) >= now]
    if order.act == "decline" and (others := still_asked(k, call, order.did, promised)):
        return None, refusal(409, "others_asked", f"{others}: leave it, and nothing is lost")
    longer = "eta" in made and min(made["eta"], k.plan.ends) > call.deadline
    if longer and call.extensions >= MAX_EXTENSIONS:
        text = f"the wait was extended {MAX_EXTENSIONS} times already: submit or decline"
        return None, refusal(409, "extended", text)
    if made["status"] == "invalid":
        problem = {"path": "$.value", "problem": made["problem"]}
        return None, refusal(422, "answer_shape_mismatch", made["problem"], [problem])
    return made, None


def has_another_part(k: K, call: Call, did: str) -> bool:
    """Whether somebody gave an answer that this call is to check, or is checked by (SEMANTICS §6).

    Who answers in another's place may have been asked for the check as well, under another name.
    """
    if not isinstance(k.query.orchestration, Verify | Ensemble) or call.round == JUDGE:
        return False
    others = (other for other in k.calls.values() if other.round not in (call.round, JUDGE))
    return any(other.response is not None and other.response.by == did for other in others)


def still_asked(k: K, call: Call, did: str, promises: Sequence[dict[str, Any]]) -> str | None:
    """Who is asked still, so that this decline must not end the task for everybody, and why.

    That is the person for whom a delegate stands in, or the delegate who promised an answer.
    """
    own = k.responder(call.responder).did
    if did != own:
        return f"{own} is asked as well"
    standing_in = [
        each["by"]
        for each in promises
        if each["by"] != own and not has_another_part(k, call, each["by"])
    ]
    return f"{standing_in[-1]} promised an answer" if standing_in else None


def said_already(
    call: Call, order: ActOnTask, made: dict[str, Any], promises: Sequence[dict[str, Any]]
) -> bool:
    """Whether this very word was heard before: whoever asks twice is not refused."""
    if order.act == "accept":
        if order.key is not None and any(order.key == each.get("key") for each in promises):
            return True
        return bool(promises) and "eta" not in made and call.status == "open"
    if order.act == "decline":
        return call.status == "declined" and call.problem == made["problem"]
    return order.act == "submit" and call.hash is not None and made.get("hash") == call.hash


def _misspoken(order: ActOnTask) -> dict[str, str] | None:
    if order.eta_secs is not None and not 0 < order.eta_secs <= MAX_LATENCY_SECS:
        problem = f"must be more than 0 and at most {MAX_LATENCY_SECS:.9g} seconds"
        return {"path": "$.eta_secs", "problem": problem}
    if order.act == "decline" and order.reason not in (None, *DECLINE_REASONS):
        return {"path": "$.reason", "problem": f"must be one of {', '.join(DECLINE_REASONS)}"}
    if order.confidence is not None and not 0 <= order.confidence <= 1:
        return {"path": "$.confidence", "problem": "must be from 0 to 1"}
    return None


def _made(k: K, body: dict[str, Any], order: ActOnTask, now: int) -> dict[str, Any]:
    place = {"slot": body["slot"], "attempt": body["attempt"]}
    call = k.calls[f"{body['slot']}#{body['attempt']}"]
    delay = max(0, now - call.called) / SECOND
    match order.act:
        case "accept":
            made: dict[str, Any] = {**place, "status": "accepted", "by": order.did}
            if order.eta_secs is not None:
                made["eta"] = now + round(order.eta_secs * SECOND)
            if order.key is not None:
                made["key"] = order.key
            return made
        case "decline":
            made = {**place, "status": "declined", "problem": order.reason or "other"}
            if order.rationale is not None:
                made["rationale"] = order.rationale
            return {**made, "cost": 0.0, "delay_secs": delay, "by": order.did}
        case "submit":
            raw = Raw(
                body=order.value,
                confidence=order.confidence,
                rationale=order.rationale,
                delay_secs=delay,
            )
            return {**understood(k.plan, body, raw), "by": order.did}
