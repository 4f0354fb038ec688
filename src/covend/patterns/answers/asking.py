"""What a responder is told: the question, and what its role adds to it.

The same member ``ask`` serves every kind of responder: a model gets ``messages``, a program and a
person the rest. A verifier sees what the primary saw and nothing of its answer; an auditor sees
the folded answer; a judge and a tiebreaker see two answers, in an order drawn from the run's seed
(P16).
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, cast

import msgspec

from covend.patterns.query.spec import AnswerShape, Dial, Ensemble
from covend.patterns.state import K
from covend.phylactery.canonical import canonical

Role = Literal["answer", "verify", "tiebreak", "judge", "audit"]

VERDICT = AnswerShape(
    kind="json",
    required_fields=("approved",),
    schema={
        "type": "object",
        "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
        "required": ["approved"],
    },
)
"""What an auditor answers: ``{"approved": true | false, "reason": "…"}``."""

AGREEMENT = AnswerShape(
    kind="json",
    required_fields=("agree",),
    schema={
        "type": "object",
        "properties": {"agree": {"type": "boolean"}, "reason": {"type": "string"}},
        "required": ["agree"],
    },
)
"""What a judge answers: ``{"agree": true | false, "reason": "…"}``."""

SHAPES: dict[str, AnswerShape] = {"judge": AGREEMENT, "audit": VERDICT}
"""What an answer in these roles must look like; in the others it is as the query says."""

TASKS: dict[str, str] = {
    "answer": "Answer the question.",
    "verify": "Answer the question.",
    "tiebreak": "Two people answered the question differently. Give the right answer.",
    "judge": "Two people answered the same question. Say whether both answers mean the same.",
    "audit": "Check the answer to the question.",
}


def messages(k: K, role: str, dial: Dial, show: Any = None) -> dict[str, Any]:
    """The member ``ask`` of a call: everything that its responder is told.

    ``show`` is the folded answer for ``audit``, and two answers for ``judge`` and ``tiebreak``,
    which are put into the order that the seed draws. Answers and verifiers are shown nothing
    (rules §6, verify).
    """
    shown = _drawn(k, show) if role in ("judge", "tiebreak") and show is not None else show
    if role in ("answer", "verify"):
        shown = None
    shape = SHAPES.get(role, k.query.answer_shape)
    return {
        "question": k.query.question,
        "input": k.plan.input,
        "role": role,
        "show": shown,
        "shape": msgspec.to_builtins(shape),
        "dial": msgspec.to_builtins(dial),
        "messages": [
            {"role": "system", "content": _system(k, role, dial, shape)},
            {"role": "user", "content": _user(k, role, shown)},
        ],
    }


def _system(k: K, role: str, dial: Dial, shape: AnswerShape) -> str:
    parts = [dial.system, TASKS[role]]
    if role == "audit" and isinstance(k.query.orchestration, Ensemble):
        parts.append(k.query.orchestration.instruction)
    parts.append(form(shape))
    return "\n".join(filter(None, parts))


def form(shape: AnswerShape) -> str:
    """What an answer must look like, in words for a model; empty for plain text."""
    match shape.kind:
        case "text":
            return ""
        case "choice":
            choices = "\n".join(f"- {choice}" for choice in shape.choices)
            return f"Answer with exactly one of these, and nothing else:\n{choices}"
        case "json":
            text = "Answer with one JSON value and nothing else."
            if shape.schema is not None:
                return f"{text} It must match this JSON Schema:\n{_text(shape.schema)}"
            if shape.required_fields:
                return (
                    f"{text} It is an object with the members {', '.join(shape.required_fields)}."
                )
            return text


def _user(k: K, role: str, shown: Any) -> str:
    parts = [k.query.question]
    if k.plan.input is not None:
        parts.append(f"Input:\n{_text(k.plan.input)}")
    if role == "audit":
        parts.append(f"Answer to check:\n{_text(shown)}")
    elif role in ("judge", "tiebreak") and shown is not None:
        one, other = cast("list[Any]", shown)
        parts += [f"Answer A:\n{_text(one)}", f"Answer B:\n{_text(other)}"]
    return "\n\n".join(parts)


def _drawn(k: K, show: Any) -> list[Any]:
    """Two answers in an order that neither of them can choose, and that replay finds again."""
    one, other = show
    digest = hashlib.sha256(canonical([k.plan.seed, k.thread, [one, other]])).digest()
    return [one, other] if digest[0] & 1 else [other, one]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).decode()
