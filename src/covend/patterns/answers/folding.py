"""How several responses become one answer (P17).

| fold | the answer |
|---|---|
| best_of | of greatest weight; by default its confidence |
| consensus | of the group of equal answers with the greatest sum of weights; by default trust |
| majority | of the group that more than half of the responses belong to |
| ensemble_weighted | of numbers the weighted mean, else the consensus; objects by member |
| waterfall_first | of the responder that ranked first when the round began |
| first | that came first |
| merge | objects united member by member, lists without repeats, else the best one's |
| expression | what a CEL expression over ``responses`` gives |

Folds are pure and order-free: responses are sorted by responder and hash first, and only ``first``
looks at when they came (between equals, the same order). An unstated confidence counts ½. A weight
that is NaN, negative or a CEL error is 0; all 0 is an error. Between equal weights the greater
confidence wins, then the greater trust, then the lesser hash, responder and call. Answers are
equal by ``agreement``; groups are what equality connects, so a tolerance may chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from covend.patterns.answers import agreement
from covend.patterns.expressions import cel
from covend.patterns.query.shape import (
    MAX_ANSWER_BYTES,
    MAX_NESTED,
    nested_deeper,
    problems,
    problems_told,
)
from covend.patterns.query.spec import Fold
from covend.patterns.state import K, Response, slot_of
from covend.phylactery.canonical import NotCanonical, canonical, parse

UNSTATED = 0.5
"""What a confidence counts that was not stated."""


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, how sure it is (0 to 1), the responses it was made of, and their obligations."""

    answer: Any
    confidence: float | None
    responses: tuple[Response, ...]
    obligations: tuple[dict[str, Any], ...] = ()


class FoldProblem(msgspec.Struct, frozen=True):
    """Why no answer could be made: a code (P19), and the reason in words."""

    code: str
    reason: str


class _Unfoldable(Exception):
    """There is no answer; the argument says why."""


class Weighed(msgspec.Struct, frozen=True):
    """A response and what it counts."""

    weight: float
    response: Response

    @property
    def value(self) -> Any:
        return self.response.value


Answered = tuple[Any, float | None]
"""An answer and its confidence."""


def fold_responses(k: K, fold: Fold, responses: Sequence[Response]) -> Folded | FoldProblem:
    """Make one answer of valid responses, whatever order they are given in (P17)."""
    if not responses:
        return FoldProblem("no_valid_response", "there is no valid response to fold")
    ordered = sorted(responses, key=lambda one: (one.responder, one.hash, one.call))
    try:
        weighed = _weighed(fold, ordered)
        answer, confidence = FOLDS[fold.kind](fold, weighed)
        wrong: list[str] = []
        if fold.kind in MAKERS:
            answer, wrong = _checked(k, canonical(answer))
    except _Unfoldable as failed:
        return FoldProblem("fold_failed", f"{fold.kind}: {failed}")
    except NotCanonical as failed:
        return FoldProblem("fold_failed", f"{fold.kind}: the answer is no JSON: {failed}")
    except OverflowError:
        return FoldProblem("fold_failed", f"{fold.kind}: the sum of the numbers is too large")
    if wrong:
        return FoldProblem("answer_shape_mismatch", f"{fold.kind}: {'; '.join(wrong)}")
    kept = obligations(k, ordered)
    if isinstance(kept, FoldProblem):
        return kept
    return Folded(answer=answer, confidence=confidence, responses=tuple(ordered), obligations=kept)


def _checked(k: K, data: bytes) -> tuple[Any, list[str]]:
    """An answer that a fold made, and what is wrong with it by the bounds of any answer."""
    answer = parse(data.decode())
    if not k.rules.made_like_given:
        return answer, problems(k.query.answer_shape, answer)
    if nested_deeper(answer, MAX_NESTED):
        raise _Unfoldable(f"the answer is nested deeper than {MAX_NESTED} levels")
    if len(data) > MAX_ANSWER_BYTES:
        raise _Unfoldable(f"the answer has {len(data)} bytes; at most {MAX_ANSWER_BYTES} are kept")
    return answer, problems_told(k.query.answer_shape, answer)


def _weighed(fold: Fold, responses: Sequence[Response]) -> list[Weighed]:
    """Every response with its weight, scaled so that the greatest is 1 and no sum overflows."""
    weights = [weight(fold, one) for one in responses]
    top = max(weights)
    if top == 0:
        raise _Unfoldable("every response has weight 0")
    return [Weighed(one / top, response) for one, response in zip(weights, responses, strict=True)]


def weight(fold: Fold, response: Response) -> float:
    """What a response counts: by the fold's expression, else by the kind of fold (P15, P17)."""
    if fold.weight is None:
        return _counted(DEFAULT_WEIGHT[fold.kind](response))
    found = cel.evaluate(fold.weight, {"response": as_data(response)})
    return _counted(found)


def _counted(value: Any) -> float:
    """A weight as it counts: anything but a finite number above 0 is 0."""
    if not agreement.is_number(value) or not math.isfinite(value):
        return 0.0
    return max(0.0, float(value))


def certainty(response: Response) -> float:
    """How sure a response is, ½ where it does not say."""
    stated = response.confidence
    if stated is None or not math.isfinite(stated):
        return UNSTATED
    return float(stated)


DEFAULT_WEIGHT: dict[str, Callable[[Response], float]] = {
    "best_of": lambda one: max(certainty(one), 1e-9),  # a confidence of 0 is stated, not broken
    "consensus": lambda one: one.trust,
    "majority": lambda one: 1.0,
    "ensemble_weighted": lambda one: one.trust * certainty(one),
    "waterfall_first": lambda one: 1.0,
    "first": lambda one: 1.0,
    "merge": lambda one: 1.0,
    "expression": lambda one: 1.0,
}


def as_data(response: Response) -> dict[str, Any]:
    """A response as CEL sees it."""
    return {
        "answer": response.value,
        "confidence": response.confidence,
        "trust": response.trust,
        "responder": response.responder,
        "rationale": response.rationale,
    }


def _order(one: Weighed) -> tuple[float, float, float, str, str, str]:
    """The stated total order, best first."""
    who = one.response
    return (-one.weight, -certainty(who), -who.trust, who.hash, who.responder, who.call)


def _best_of(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    best = min(weighed, key=_order).response
    return best.value, best.confidence


def _consensus(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    total = math.fsum(one.weight for one in weighed)
    group = min(groups(fold, weighed), key=lambda group: (-_sum(group), _order(_head(group))))
    return _head(group).value, _share(_sum(group), total)


def _majority(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    group = max(groups(fold, weighed), key=len)
    if 2 * len(group) <= len(weighed):
        raise _Unfoldable(f"no answer is that of more than half of {len(weighed)} responses")
    return _head(group).value, len(group) / len(weighed)


def _ensemble_weighted(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    counted = [one for one in weighed if one.weight > 0]
    return _mixed(fold, counted), _mean([(one.weight, certainty(one.response)) for one in counted])


def _mixed(fold: Fold, weighed: Sequence[Weighed]) -> Any:
    values = [one.value for one in weighed]
    if all(agreement.is_number(value) for value in values):
        return _mean([(one.weight, one.value) for one in weighed])
    if not all(isinstance(value, dict) for value in values):
        return _consensus(fold, weighed)[0]
    names = sorted({name for value in values for name in agreement.members(value)})
    return {name: _mixed(Fold(), _members(weighed, name)) for name in names}


def _waterfall_first(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    best = min(weighed, key=lambda one: (_slot(one.response), _order(one))).response
    return best.value, best.confidence


def _first(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    one = min(weighed, key=lambda one: one.response.seq).response  # keeps the order of equals
    return one.value, one.confidence


def _merge(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    ranked = sorted(weighed, key=_order)
    confidence = _mean([(1.0, certainty(one.response)) for one in ranked])
    return _united([agreement.comparable(one.value) for one in ranked]), confidence


def _united(values: Sequence[Any]) -> Any:
    """Values united, best first."""
    if all(isinstance(value, dict) for value in values):
        names = sorted({name for value in values for name in value})
        return {name: _united([value[name] for value in values if name in value]) for name in names}
    if all(isinstance(value, list) for value in values):
        items = [item for value in values for item in value]
        return list({canonical(item): item for item in items}.values())
    return values[0]


def _expression(fold: Fold, weighed: Sequence[Weighed]) -> Answered:
    if fold.expression is None:
        raise _Unfoldable("there is no expression")
    found = cel.evaluate(fold.expression, {"responses": [as_data(one.response) for one in weighed]})
    if isinstance(found, cel.CelError):
        raise _Unfoldable(found.message)
    return found, _mean([(1.0, certainty(one.response)) for one in weighed])


FOLDS: dict[str, Callable[[Fold, Sequence[Weighed]], Answered]] = {
    "best_of": _best_of,
    "consensus": _consensus,
    "majority": _majority,
    "ensemble_weighted": _ensemble_weighted,
    "waterfall_first": _waterfall_first,
    "first": _first,
    "merge": _merge,
    "expression": _expression,
}

MAKERS = frozenset({"ensemble_weighted", "merge", "expression"})
"""Folds that make a new answer, which may not have the shape; the others choose a given one."""


def groups(fold: Fold, weighed: Sequence[Weighed]) -> list[list[Weighed]]:
    """Responses by answer: two are in one group if a chain of equal answers connects them."""
    found: list[list[Weighed]] = []
    for one in weighed:
        touching = [g for g in found if any(agreement.same(fold, one.value, w.value) for w in g)]
        found = [group for group in found if group not in touching]
        found.append([one, *(other for group in touching for other in group)])
    return found


def obligations(k: K, responses: Sequence[Response]) -> tuple[dict[str, Any], ...] | FoldProblem:
    """What was promised, by id; two that differ are resolved as the query says (P7).

    ``last_writer_wins``: the response with the highest sequence; ``fulfills_wins``: the last that
    says fulfilled, else the last; ``validation_error``: none.
    """
    rule = k.query.side_effects.obligation_resolution
    said: dict[str, list[dict[str, Any]]] = {}
    for response in sorted(responses, key=lambda one: one.seq):
        for obligation in response.obligations:
            said.setdefault(str(obligation["id"]), []).append(obligation)
    kept: list[dict[str, Any]] = []
    for name, versions in sorted(said.items()):
        if rule == "validation_error" and len({canonical(one) for one in versions}) > 1:
            return FoldProblem("obligation_conflict", f"responses disagree about {name}")
        fulfilled = [one for one in versions if one.get("status") == "fulfilled"]
        kept.append((fulfilled if rule == "fulfills_wins" and fulfilled else versions)[-1])
    return tuple(kept)


def _head(group: Sequence[Weighed]) -> Weighed:
    return min(group, key=_order)


def _sum(group: Sequence[Weighed]) -> float:
    return math.fsum(one.weight for one in group)


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole)


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    """The mean of (weight, value) pairs; raises ``OverflowError`` where a sum exceeds a double."""
    total = math.fsum(weight for weight, _ in pairs)
    return math.fsum(weight / total * value for weight, value in pairs)


def _members(weighed: Sequence[Weighed], name: str) -> list[Weighed]:
    return [
        Weighed(one.weight, msgspec.structs.replace(one.response, value=one.value[name]))
        for one in weighed
        if name in one.value
    ]


def _slot(response: Response) -> tuple[str, int]:
    """Where in its round a response was asked: slots are numbered by rank."""
    round_, _, index = slot_of(response.call).rpartition("/")
    return (round_, int(index) if index.isdecimal() else 0)
