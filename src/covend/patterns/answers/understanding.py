"""What a responder's reply amounts to: the body of a ``do`` record.

A model's reply is a chat completion whose text holds the answer; a program's reply is the answer;
a person's is what was submitted. Every one of them is checked against the shape it was asked in.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, cast

import msgspec

from covend.patterns.answers.agreement import is_number
from covend.patterns.answers.answer_text import (
    InvalidAnswer,
    excerpt,
    recordable,
    the_choice,
    the_json,
    without_thoughts,
)
from covend.patterns.query.shape import (
    MAX_ANSWER_BYTES,
    MAX_NESTED,
    Fault,
    faults_told,
    nested_deeper,
    told,
)
from covend.patterns.query.spec import AnswerShape
from covend.patterns.responders.responder import Responder
from covend.patterns.state import Plan
from covend.phylactery.canonical import NotCanonical, canonical, parse
from covend.resolving import resolved

TRY_AGAIN = frozenset({408, 425, 429})
"""HTTP statuses under 500 after which the same request may succeed."""
GATEWAY = frozenset({502, 504})
"""HTTP statuses of a gateway that had no answer from the server behind it."""

CUT_OFF = "the answer was cut off at max_tokens"
"""That a model had more to say (``finish_reason`` is ``length``), for whoever reads the record."""

MAX_COUNT = 10**12
MAX_BILL_USD = 1e9
"""Counts of tokens and bills above these are taken for mistakes; sums of others fit a record."""


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, before anybody understood it.

    ``status`` is the HTTP status, None where no HTTP was spoken. ``body`` is the decoded JSON, or
    text that is no JSON: a model's chat completion, a program's answer, a person's submission.
    ``failure`` says that nothing came back and why; ``transport`` whether that was on the way
    (so that asking again may help) or at the responder. ``indeterminate`` says that the work may
    have been done nevertheless, ``billable`` that the responder had it and may bill it, however it
    ended. ``unusable`` says why what did come is no answer, whatever was asked for.
    ``retry_after`` is for how many seconds the responder asked to be left alone. ``confidence``
    and ``rationale`` are what a person stated beside the answer. ``delay_secs`` is how long it
    took.
    """

    status: int | None = None
    body: Any = None
    failure: str | None = None
    transport: bool = True
    indeterminate: bool = False
    billable: bool = False
    unusable: str | None = None
    retry_after: float | None = None
    confidence: float | None = None
    rationale: str | None = None
    delay_secs: float = 0.0

    @property
    def unknown(self) -> bool:
        """Whether the work may have been done, and billed, although no answer to it came (P4).

        A responder that answered, even to refuse, has said what became of it; a gateway has not.
        """
        return self.indeterminate or (self.failure is None and self.status in GATEWAY)

    @property
    def passing(self) -> bool:
        """Whether it failed on the way, or the responder was busy: asking again may help."""
        if self.failure is not None:
            return self.transport
        return self.status is not None and (self.status in TRY_AGAIN or self.status >= 500)


class _Answer(msgspec.Struct, kw_only=True):
    """An answer on its way into a record."""

    value: Any
    confidence: float | None = None
    rationale: str | None = None
    obligations: list[dict[str, Any]] = []
    cut_off: bool = False


def understood(plan: Plan, call_body: dict[str, Any], raw: Raw) -> dict[str, Any]:
    """The body of the ``do`` record for what a call brought; see ``Raw``.

    Never raises for anything that a responder can send: what cannot be understood is ``invalid``,
    what did not come or was refused is ``error``, and ``indeterminate`` beside that where nobody
    knows whether the work was done (P4). Whatever it is, the body can be recorded.
    """
    body: dict[str, Any] = {"slot": call_body["slot"], "attempt": call_body["attempt"]}
    body["delay_secs"] = max(0.0, round(raw.delay_secs, 6))
    try:
        found = {**body, **_outcome(plan, call_body, raw)}
        canonical(found)
    except (ValueError, OverflowError, RecursionError) as failed:
        # Asking again would cost again, and this reply is not going to become readable.
        problem = excerpt(f"the reply cannot be recorded: {failed}")
        return {
            **body,
            "status": "invalid",
            "problem": problem,
            "cost": float(call_body["reserved"]),
        }
    return found


def declined(call_body: dict[str, Any], why: str) -> dict[str, Any]:
    """The body of the ``do`` record for a call that a function has no answer to."""
    place = {"slot": call_body["slot"], "attempt": call_body["attempt"]}
    return {**place, "status": "declined", "problem": excerpt(why), "cost": 0.0}


def _outcome(plan: Plan, call_body: dict[str, Any], raw: Raw) -> dict[str, Any]:
    """What of a ``do`` depends on the reply; may raise for what no record can hold."""
    responder = next(one for one in plan.responders if one.id == call_body["responder"]["id"])
    failed = _failure(raw)
    if failed is not None:
        problem, transport = failed
        cost = _cost(responder, call_body, raw) if raw.billable else 0.0
        error = {"status": "error", "problem": problem, "transport": transport, "cost": cost}
        return {**error, "indeterminate": True} if raw.unknown else error
    body: dict[str, Any] = {"cost": _cost(responder, call_body, raw)}
    if raw.unusable is not None:
        return {**body, "status": "invalid", "problem": excerpt(raw.unusable)}
    shape = msgspec.convert(call_body["ask"]["shape"], resolved(AnswerShape))
    try:
        if responder.kind == "system" and shape.kind != "json":
            raw = msgspec.structs.replace(raw, body=_as_text(raw.body))
        found = _completion(shape, raw) if responder.kind == "llm" else _direct(shape, raw)
        text = canonical(found.value)
        value = parse(text.decode())
        beside = _beside(found)
        if (size := len(text) + len(canonical(beside))) > MAX_ANSWER_BYTES:
            raise InvalidAnswer(f"the answer has {size} bytes; at most {MAX_ANSWER_BYTES} are kept")
        _not_too_deep(value, beside)
        wrong = faults(shape, responder, value)
    except (InvalidAnswer, NotCanonical) as failed_to_read:
        return {**body, "status": "invalid", "problem": excerpt(str(failed_to_read))}
    body |= {"value": value, "hash": hashlib.sha256(text).hexdigest()}
    if wrong:
        problems = [CUT_OFF] * found.cut_off + [excerpt(told(one)) for one in wrong]
        return {**body, "status": "invalid", "problem": "; ".join(problems)}
    return {**body, "status": "ok", **beside}


def faults(shape: AnswerShape, responder: Responder, value: Any) -> list[Fault]:
    """What is wrong with an answer, and where.

    By the shape that was asked for, and by the schema of its responder, where that declares one.
    """
    found = faults_told(shape, value)
    if responder.schema is not None:
        own = faults_told(AnswerShape(kind="json", schema=responder.schema), value)
        found += [(at, f"{problem} (by the schema of {responder.id})") for at, problem in own]
    return found


def _not_too_deep(*values: Any) -> None:
    """Later records nest a response deeper, and a record holds only so many levels."""
    if any(nested_deeper(value, MAX_NESTED) for value in values):
        raise InvalidAnswer(f"the answer is nested deeper than {MAX_NESTED} levels")


def _beside(found: _Answer) -> dict[str, Any]:
    """What was said beside the answer."""
    body: dict[str, Any] = {}
    if found.confidence is not None:
        body["confidence"] = found.confidence
    rationale = found.rationale or (CUT_OFF if found.cut_off else None)
    if rationale is not None:
        body["rationale"] = rationale
    if found.obligations:
        body["obligations"] = found.obligations
    return body


def _failure(raw: Raw) -> tuple[str, bool] | None:
    """Why there is no reply to understand, and whether asking again may help."""
    if raw.failure is not None:
        return recordable(raw.failure), raw.passing
    if raw.status is None or 200 <= raw.status < 300:
        return None
    return f"HTTP status {raw.status}: {excerpt(raw.body)}", raw.passing


def _completion(shape: AnswerShape, raw: Raw) -> _Answer:
    """The answer in a chat completion."""
    body = _object(raw.body, "the reply")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise InvalidAnswer(f"the reply has no choices: {excerpt(raw.body)}")
    choice = _object(cast("list[Any]", choices)[0], "choices[0]")
    ended = choice.get("finish_reason")
    if ended == "content_filter":
        raise InvalidAnswer("the reply was withheld by a content filter")
    cut_off = ended == "length"
    text = without_thoughts(_words(_object(choice.get("message"), "choices[0].message"), cut_off))
    if cut_off and (not text.strip() or text.lstrip().startswith("<think>")):
        raise InvalidAnswer(f"{CUT_OFF} before it began")
    try:
        answer = _read(shape, text)
    except InvalidAnswer as wrong:
        raise InvalidAnswer(f"{CUT_OFF}: {wrong}" if cut_off else str(wrong)) from None
    answer.cut_off = cut_off
    if answer.confidence is None:
        answer.confidence = _by_logprobs(choice.get("logprobs"))
    return answer


def _words(message: dict[str, Any], cut_off: bool) -> str:
    """What a model says, in one piece or in several; raises where it does something else."""
    content = message.get("content")
    pieces = cast("list[Any]", content) if isinstance(content, list) else [{"text": content}]
    texts = _strings(pieces, "text")
    text = "".join(texts)
    if text.strip():
        return text
    if refusal := "".join(_strings([message, *pieces], "refusal")).strip():
        raise InvalidAnswer(f"refused: {excerpt(refusal)}")
    if message.get("tool_calls") or message.get("function_call"):
        raise InvalidAnswer("the model called tools instead of answering")
    if not texts and not cut_off:
        raise InvalidAnswer("the reply has no text in choices[0].message.content")
    return text


def _strings(items: list[Any], name: str) -> list[str]:
    """The texts that objects of a list have by this name."""
    found = [cast("dict[str, Any]", one).get(name) for one in items if isinstance(one, dict)]
    return [one for one in found if isinstance(one, str)]


def _direct(shape: AnswerShape, raw: Raw) -> _Answer:
    """The answer of a program or a person: the body itself, with what it says beside it."""
    if shape.kind == "json":
        answer = _taken_apart(raw.body)
    elif shape.kind == "choice" and isinstance(raw.body, str):
        answer = _Answer(value=the_choice(shape.choices, raw.body))
    else:
        answer = _Answer(value=raw.body)
    if raw.confidence is not None:
        answer.confidence = _confidence(raw.confidence)
    answer.rationale = raw.rationale or answer.rationale
    return answer


def _as_text(value: Any) -> Any:
    """A program's output as text where text was asked for: ``42`` was read as a JSON number."""
    return json.dumps(value) if isinstance(value, int | float) else value


def _read(shape: AnswerShape, text: str) -> _Answer:
    """The answer in a model's text."""
    match shape.kind:
        case "text":
            return _Answer(value=text.strip())
        case "choice":
            return _Answer(value=the_choice(shape.choices, text))
        case "json":
            return _taken_apart(the_json(text))


def _taken_apart(value: Any) -> _Answer:
    """An answer without the notes in it: ``_confidence``, ``_rationale``, ``_obligations``."""
    if not isinstance(value, dict):
        return _Answer(value=value)
    rest = dict(cast("dict[str, Any]", value))
    answer = _Answer(value=rest)
    answer.confidence = _confidence(rest.pop("_confidence", None))
    rationale = rest.pop("_rationale", None)
    answer.rationale = rationale if isinstance(rationale, str) else None
    answer.obligations = _obligations(rest.pop("_obligations", []))
    return answer


def _obligations(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, dict) or not isinstance(
            cast("dict[str, Any]", item).get("id"), str
        ):
            raise InvalidAnswer(f"_obligations: {excerpt(item)} has no id")
    return items


def _confidence(value: Any) -> float | None:
    """A confidence as stated, if it is one: a number from 0 to 1."""
    if is_number(value) and 0 <= value <= 1:
        return float(value)
    return None


def _by_logprobs(logprobs: Any) -> float | None:
    """exp of the mean log probability of the answer's tokens."""
    if not isinstance(logprobs, dict):
        return None
    content = cast("dict[str, Any]", logprobs).get("content")
    if not isinstance(content, list):
        return None
    found: list[float] = []
    for token in cast("list[Any]", content):
        logprob = cast("dict[str, Any]", token).get("logprob") if isinstance(token, dict) else None
        if not is_number(logprob):
            return None
        found.append(cast(float, logprob))
    try:
        if not found or any(math.isnan(one) for one in found):
            return None
        mean = math.fsum(min(0.0, one) for one in found) / len(found)
    except OverflowError:
        return None
    return round(math.exp(mean), 6)


def _cost(responder: Responder, call_body: dict[str, Any], raw: Raw) -> float:
    """What a reply costs: by its own count of tokens; without one, all that was reserved (P13)."""
    price = responder.cost
    if responder.kind != "llm" or not (price.per_1k_input or price.per_1k_output):
        return price.per_call
    reply: Any = raw.body
    usage = reply.get("usage") if hasattr(reply, "get") else None
    counts = [_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
    if counts[0] is None or counts[1] is None:
        return float(call_body["reserved"])
    cost = price.of(counts[0], counts[1])
    return cost if cost <= MAX_BILL_USD else float(call_body["reserved"])


def _count(usage: Any, name: str) -> int | None:
    value: Any = cast("dict[str, Any]", usage).get(name) if isinstance(usage, dict) else None
    return int(value) if is_number(value) and 0 <= value <= MAX_COUNT else None


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidAnswer(f"{what} is not an object: {excerpt(value)}")
    return cast("dict[str, Any]", value)
