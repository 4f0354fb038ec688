"""Which words of people are accepted on their tasks (P18).

| word | accepted while | becomes |
|---|---|---|
| accept | the task is open; an eta may extend the wait twice | ``do`` accepted |
| decline | the task is open, and nobody else is asked it | ``do`` declined, for good |
| submit | the task is open and the answer has its shape | ``do`` ok |

The same word again is accepted and changes nothing; everything else is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from covend.patterns.answers.answer_text import excerpt
from covend.patterns.answers.understanding import Raw, faults, understood
from covend.patterns.query.names import DECLINE_REASONS
from covend.patterns.query.spec import MAX_LATENCY_SECS, AnswerShape, Ensemble, Verify
from covend.patterns.six.verify import JUDGE
from covend.patterns.state import MAX_EXTENSIONS, SECOND, Call, K, call_id_of
from covend.resolving import resolved

STATES = {"ok": "submitted", "timeout": "expired"}
"""What a call's status is called of its task, where it has another name there."""


class Said(Protocol):
    """A person's word on a task; ``covend.questions.ActOnTask`` is one, which is a message."""

    @property
    def act(self) -> Literal["accept", "decline", "submit"]: ...
    @property
    def did(self) -> str: ...
    @property
    def eta_secs(self) -> float | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def value(self) -> Any: ...
    @property
    def confidence(self) -> float | None: ...
    @property
    def rationale(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a word is not accepted, as ``covend.questions.refusal`` says it."""

    status: int
    code: str
    message: str
    errors: list[dict[str, str]] | None = None


def word(
    k: K, body: dict[str, Any], said: Said, now: int, promises: Sequence[dict[str, Any]]
) -> dict[str, Any] | Refused | None:
    """What a person's word amounts to: the ``do`` body to record, or why it is refused.

    None of a word that changes nothing: the same answer again, or the same promise. ``body`` is
    that of the ``call``, ``promises`` are the bodies by which answers to it were promised so far.
    """
    call = k.calls[call_id_of(body)]
    if said.did not in may_speak(k, call):
        return Refused(403, "not_yours", f"this task is not for {said.did}")
    if said.act != "decline" and has_another_part(k, call, said.did):
        text = f"{said.did} answered another part of this query: this one is for somebody else"
        return Refused(403, "one_part_each", text)
    if problem := _misspoken(said):
        return Refused(422, "invalid_word", "what is said of the task is not valid", [problem])
    made = _made(k, body, said, now)
    promised = [each for each in promises if each.get("eta", now) >= now]
    if said_already(call, said, made, promises, promised):
        return None
    if call.status != "open" or call.deadline <= now:
        state = "expired" if call.status == "open" else task_state(call)
        return Refused(409, state, f"this task is over: it is {state}")
    if said.act == "decline" and (others := still_asked(k, call, said.did, promised)):
        return Refused(409, "others_asked", f"{others}: leave it, and nothing is lost")
    longer = "eta" in made and min(made["eta"], k.plan.ends) > call.deadline
    if longer and call.extensions >= MAX_EXTENSIONS:
        text = f"the wait was extended {MAX_EXTENSIONS} times already: submit or decline"
        return Refused(409, "extended", text)
    if made["status"] == "invalid":
        text = "the answer does not have the shape that was asked for"
        return Refused(422, "answer_shape_mismatch", text, _faults(k, body, made))
    return made


def task_state(call: Call) -> str:
    """The state of a call's task, but for whether an answer is promised."""
    return STATES.get(call.status, call.status)


def may_speak(k: K, call: Call) -> frozenset[str]:
    """The dids whose word counts: the person asked, and the delegates asked in his place."""
    responder = k.responder(call.responder)
    delegates = responder.delegates[: call.delegated]
    return frozenset(did for did in (responder.did, *delegates) if did)


def has_another_part(k: K, call: Call, did: str) -> bool:
    """Whether somebody gave an answer that this call is to check, or is checked by (rules §6).

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
    call: Call,
    said: Said,
    made: dict[str, Any],
    promises: Sequence[dict[str, Any]],
    promised: Sequence[dict[str, Any]],
) -> bool:
    """Whether this very word was heard before: whoever asks twice is not refused.

    ``promised`` are those of the promises whose time is not over.
    """
    if said.act == "accept":
        if said.key is not None and any(said.key == each.get("key") for each in promises):
            return True
        stands = any(each["by"] == said.did for each in promised)
        return stands and "eta" not in made and call.status == "open"
    if said.act == "decline":
        return call.status == "declined" and call.problem == made["problem"]
    return said.act == "submit" and call.hash is not None and made.get("hash") == call.hash


def _misspoken(said: Said) -> dict[str, str] | None:
    if said.eta_secs is not None and not 0 < said.eta_secs <= MAX_LATENCY_SECS:
        problem = f"must be more than 0 and at most {MAX_LATENCY_SECS:.9g} seconds"
        return {"path": "$.eta_secs", "problem": problem}
    if said.act == "decline" and said.reason not in (None, *DECLINE_REASONS):
        return {"path": "$.reason", "problem": f"must be one of {', '.join(DECLINE_REASONS)}"}
    if said.confidence is not None and not 0 <= said.confidence <= 1:
        return {"path": "$.confidence", "problem": "must be from 0 to 1"}
    return None


def _faults(k: K, body: dict[str, Any], made: dict[str, Any]) -> list[dict[str, str]]:
    """What is wrong with a submitted value, each fault by its path in the word."""
    if "value" not in made:
        return [{"path": "$.value", "problem": made["problem"]}]
    shape = msgspec.convert(body["ask"]["shape"], resolved(AnswerShape))
    found = faults(shape, k.responder(body["responder"]["id"]), made["value"])
    return [
        {"path": excerpt(f"$.value{at[1:]}"), "problem": excerpt(problem)} for at, problem in found
    ]


def _made(k: K, body: dict[str, Any], said: Said, now: int) -> dict[str, Any]:
    place = {"slot": body["slot"], "attempt": body["attempt"]}
    call = k.calls[call_id_of(body)]
    delay = max(0, now - call.called) / SECOND
    match said.act:
        case "accept":
            made: dict[str, Any] = {**place, "status": "accepted", "by": said.did}
            if said.eta_secs is not None:
                made["eta"] = now + round(said.eta_secs * SECOND)
            if said.key is not None:
                made["key"] = said.key
            return made
        case "decline":
            made = {**place, "status": "declined", "problem": said.reason or "other"}
            if said.rationale is not None:
                made["rationale"] = said.rationale
            return {**made, "cost": 0.0, "delay_secs": delay, "by": said.did}
        case "submit":
            raw = Raw(
                body=said.value,
                confidence=said.confidence,
                rationale=said.rationale,
                delay_secs=delay,
            )
            return {**understood(k.plan, body, raw), "by": said.did}
