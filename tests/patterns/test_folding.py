"""P17: eight folds, pure and order-free, with every tie broken by a stated order."""

from __future__ import annotations

import math
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.patterns.sample_runs import response, run

from covend.patterns.answers import folding
from covend.patterns.answers.folding import FOLDS, Folded, FoldProblem, fold_responses
from covend.patterns.query.spec import Fold
from covend.patterns.state import K, Response
from covend.phylactery.canonical import canonical

JSON_RUN = run(answer_shape={"kind": "json"})


def folded(fold: Fold, *responses: Response, k: K = JSON_RUN) -> Folded:
    found = fold_responses(k, fold, responses)
    assert isinstance(found, Folded), found
    return found


def problem(fold: Fold, *responses: Response, k: K = JSON_RUN) -> FoldProblem:
    found = fold_responses(k, fold, responses)
    assert isinstance(found, FoldProblem), found
    return found


@pytest.mark.parametrize("kind", sorted(FOLDS))
def test_nothing_folds_to_no_valid_response(kind: Any) -> None:
    """P17: empty → no_valid_response, whatever the fold."""
    fold = Fold(kind=kind, expression="responses[0].answer")
    assert problem(fold).code == "no_valid_response"


@pytest.mark.parametrize("kind", sorted(FOLDS))
def test_one_response_folds_to_its_answer(kind: Any) -> None:
    """P17: the smallest fold of each kind."""
    fold = Fold(kind=kind, expression="responses[0].answer" if kind == "expression" else None)
    found = folded(fold, response({"a": 1}, confidence=0.75))
    assert found.answer == {"a": 1}
    assert [one.call for one in found.responses] == ["primary/0#1"]


# best_of


def test_best_of_takes_the_most_confident() -> None:
    """P17; an unstated confidence counts ½."""
    sure, unsure, silent = (
        response("sure", "a", confidence=0.8),
        response("unsure", "b", confidence=0.3),
        response("silent", "c", trust=0.99),
    )
    assert folded(Fold(), unsure, silent, sure).answer == "sure"
    assert folded(Fold(), unsure, silent).answer == "silent"
    assert folded(Fold(), unsure, silent).confidence is None


def test_ties_are_broken_by_trust_then_hash_then_responder() -> None:
    """P17: the stated total order."""
    for better, worse in ("xy", "yx"):
        pair = [response(better, "b", trust=0.6), response(worse, "a", trust=0.4)]
        assert folded(Fold(), *pair).answer == better
    one, other = response("x", "a"), response("y", "b")
    lesser = min(one, other, key=lambda answer: answer.hash)
    assert folded(Fold(), one, other).answer == lesser.value
    kind = Fold(kind="waterfall_first")
    twins = [response("x", "b", slot=1), response("x", "a", slot=1, seq=9)]
    assert [one.responder for one in folded(kind, *twins).responses] == ["a", "b"]


def test_a_confidence_of_zero_is_a_statement_and_no_defect() -> None:
    """P17: the best of bad answers is still the best of them."""
    found = folded(
        Fold(), response("x", confidence=0.0, trust=0.1), response("y", "b", confidence=0)
    )
    assert found.answer == "y"


def test_a_weight_of_ones_own_decides() -> None:
    """P15, P17: CEL over ``response``."""
    fold = Fold(weight="response.responder == 'b' ? 2.0 : response.confidence * response.trust")
    assert folded(fold, response("x", "a", confidence=1.0), response("y", "b")).answer == "y"


# weights


@pytest.mark.parametrize(
    "weight",
    [
        "0.0 / 0.0",
        "-1.0",
        "0",
        "1.0 / 0.0",
        "response.nope",
        "response.confidence",  # unstated: null is no number
        "response.answer",
        "1 / 0",
    ],
)
def test_a_weight_that_is_no_positive_number_is_zero_and_all_zero_is_an_error(weight: str) -> None:
    """P15, P17: NaN, negative, infinite, no number, an error: 0; all zero → error."""
    only = response("x", "a")
    fold = Fold(weight=weight)
    found = problem(fold, only)
    assert (found.code, found.reason) == ("fold_failed", "best_of: every response has weight 0")
    mixed = Fold(weight=f"response.responder == 'b' ? 1.0 : double({weight})")
    if weight != "response.answer":
        assert folded(mixed, only, response("y", "b")).answer == "y"


def test_huge_weights_do_not_overflow() -> None:
    """P17: fsum, of shares."""
    fold = Fold(kind="ensemble_weighted", weight="1.7e308")
    responses = [response(value, name) for value, name in ((1.5e308, "a"), (1.7e308, "b"))]
    assert folded(fold, *responses).answer == pytest.approx(1.6e308)
    assert folded(Fold(kind="consensus", weight="1.7e308"), *responses).confidence == 0.5


def test_a_mean_that_overflows_is_a_failed_fold() -> None:
    """P17, P19: shares of the largest double may add up to more than it."""
    shares = {"a": 0.5, "b": 1.0, "c": 0.8}
    most = [
        response(sys.float_info.max, name, trust=trust, confidence=0.5)
        for name, trust in shares.items()
    ]
    found = problem(Fold(kind="ensemble_weighted"), *most)
    assert found.code == "fold_failed"
    assert "too large" in found.reason


def test_trust_of_nobody_is_an_error() -> None:
    """P17: all zero → error."""
    found = problem(Fold(kind="consensus"), response("x", trust=0.0))
    assert found.code == "fold_failed"


# consensus and majority


def test_consensus_is_by_trust_and_not_by_heads() -> None:
    """P17: trust-weighted plurality on the canonical key."""
    responses = [
        response({"a": 1}, "a", trust=0.3),
        response({"a": 1.0, "_note": "!"}, "b", trust=0.3),
        response({"a": 2}, "c", trust=0.9),
    ]
    found = folded(Fold(kind="consensus"), *responses)
    assert found.answer == {"a": 2}
    assert found.confidence == pytest.approx(0.6)
    assert folded(Fold(kind="consensus", weight="1"), *responses).answer == {"a": 1}


@pytest.mark.parametrize("first", ["a", "z"])
def test_many_small_weights_add_up_exactly_whatever_their_order(first: str) -> None:
    """P17: fsum; 1 and ten tenths are 2, a tie with 1 and 1, which the more confident wins."""
    tenths = [response("x", f"b{number}", trust=0.1) for number in range(10)]
    ones = [response("y", name, trust=1.0, confidence=0.9) for name in ("c", "d")]
    found = folded(Fold(kind="consensus"), response("x", first, trust=1.0), *tenths, *ones)
    assert (found.answer, found.confidence) == ("y", 0.5)


def test_majority_is_more_than_half_by_heads() -> None:
    """P17: half is no majority; trust does not matter."""
    fold = Fold(kind="majority")
    x1, x2 = response("x", "a", trust=0.1), response("x", "b", trust=0.1)
    y1, y2 = response("y", "c", trust=0.9), response("y", "d", trust=0.9)
    assert folded(fold, x1, x2, y1).answer == "x"
    assert folded(fold, x1, x2, y1).confidence == pytest.approx(2 / 3)
    assert problem(fold, x1, x2, y1, y2).reason == (
        "majority: no answer is that of more than half of 4 responses"
    )


def test_the_answer_of_a_group_is_that_of_its_best_member() -> None:
    """P17: answers that differ in what does not count are one group."""
    fold = Fold(kind="majority", key=("a",))
    responses = [
        response({"a": 1, "b": "poor"}, "a", confidence=0.2),
        response({"a": 1, "b": "good"}, "b", confidence=0.9),
        response({"a": 2}, "c", confidence=1.0),
    ]
    assert folded(fold, *responses).answer == {"a": 1, "b": "good"}


def test_tolerance_groups_what_is_near_whatever_came_first() -> None:
    """P16, P17: groups are what equality connects."""
    fold = Fold(kind="majority", tolerance={"$": 0.1})
    values = [response(value, name) for value, name in ((1.0, "a"), (1.18, "b"), (1.09, "c"))]
    for order in (values, values[::-1], [values[1], values[2], values[0]]):
        weighed = [folding.Weighed(1.0, one) for one in [*order, response(5, "d")]]
        assert sorted(len(group) for group in folding.groups(fold, weighed)) == [1, 3]
        assert folded(fold, *order, response(5, "d")).confidence == 0.75


# ensemble_weighted


def test_numbers_are_averaged_by_weight() -> None:
    """P17: trust × confidence by default."""
    responses = [
        response(10, "a", trust=0.5, confidence=0.5),
        response(20, "b", trust=1.0, confidence=0.75),
    ]
    found = folded(Fold(kind="ensemble_weighted"), *responses)
    assert found.answer == pytest.approx((10 * 0.25 + 20 * 0.75) / 1.0)
    assert found.confidence == pytest.approx(0.25 * 0.5 + 0.75 * 0.75)


def test_objects_are_averaged_member_by_member() -> None:
    """P17: numbers by mean, the rest by consensus; a note is no member."""
    responses = [
        response({"n": 1, "who": "x", "in": {"m": 2}}, "a"),
        response({"n": 2, "who": "y", "in": {"m": 4}, "_note": 1}, "b"),
        response({"n": 6, "who": "y", "more": True}, "c"),
    ]
    found = folded(Fold(kind="ensemble_weighted"), *responses)
    assert found.answer == {"n": 3, "who": "y", "in": {"m": 3}, "more": True}


def test_true_is_not_one() -> None:
    """P17: booleans are not averaged."""
    responses = [response(value, name) for value, name in ((True, "a"), (True, "b"), (False, "c"))]
    assert folded(Fold(kind="ensemble_weighted"), *responses).answer is True


# first and waterfall_first


def test_first_is_what_came_first_and_waterfall_first_who_ranked_first() -> None:
    """P17: ``first`` alone looks at arrival."""
    slow_best = response("best", "a", slot=0, seq=9)
    quick = response("quick", "b", slot=1, seq=4)
    assert folded(Fold(kind="first"), slow_best, quick).answer == "quick"
    assert folded(Fold(kind="waterfall_first"), quick, slow_best).answer == "best"
    tenth, ninth = response("x", "a", slot=10), response("y", "b", slot=9)
    assert folded(Fold(kind="waterfall_first"), tenth, ninth).answer == "y"


# merge


def test_merge_unites_members_and_lists_best_first() -> None:
    """P17."""
    responses = [
        response({"a": 1, "l": [1, 2], "o": {"x": 1}}, "a", confidence=0.9),
        response({"a": 2, "l": [2, 3], "o": {"x": 2, "y": 2}, "_n": 0}, "b", confidence=0.1),
    ]
    found = folded(Fold(kind="merge"), *responses)
    assert found.answer == {"a": 1, "l": [1, 2, 3], "o": {"x": 1, "y": 2}}
    assert found.confidence == pytest.approx(0.5)


# expression


def test_an_expression_makes_the_answer() -> None:
    """P15, P17."""
    fold = Fold(kind="expression", expression="responses.map(r, r.answer.n)")
    found = folded(fold, response({"n": 2}, "b"), response({"n": 1}, "a"))
    assert found.answer == [1, 2]


@pytest.mark.parametrize("source", ["responses[9].answer", "1 / 0", "b'x'", "0.0 / 0.0", "{1: 2}"])
def test_an_expression_that_gives_no_answer_is_a_failed_fold(source: str) -> None:
    """P15, P19: an error is no answer, and neither is what is no JSON."""
    found = problem(Fold(kind="expression", expression=source), response(1))
    assert found.code == "fold_failed"


def test_a_made_answer_must_have_the_shape() -> None:
    """P11, P19: an average of integers need be none."""
    k = run(answer_shape={"kind": "json", "schema": {"type": "integer"}})
    found = problem(Fold(kind="ensemble_weighted"), response(1, "a"), response(2, "b"), k=k)
    assert found.code == "answer_shape_mismatch"
    assert '1.5 is not of type "integer"' in found.reason


# order


ANSWERS: st.SearchStrategy[Any] = st.sampled_from(
    [1, 1.05, 2, 2.5, "x", "y", {"a": 1}, {"a": 1.05, "b": [1]}, {"a": 2, "b": [2, 1]}, [1], None]
)
CONFIDENCES = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])
RESPONSES = st.lists(
    st.tuples(ANSWERS, st.sampled_from("abc"), CONFIDENCES, st.sampled_from([0.0, 0.5, 0.9])),
    min_size=1,
    max_size=6,
)
ORDER_FREE = sorted(set(FOLDS) - {"first"})


@settings(max_examples=150)
@given(RESPONSES, st.sampled_from(ORDER_FREE), st.randoms(use_true_random=False), st.booleans())
def test_arrival_order_changes_nothing(given: Any, kind: Any, random: Any, near: bool) -> None:
    """P17, P20: shuffled lists and shuffled sequences fold to the same bytes."""
    fold = Fold(
        kind=kind,
        tolerance={"$": 0.1, "a": 0.1} if near else {},
        expression="responses.map(r, [r.answer, r.trust])" if kind == "expression" else None,
    )
    arrived = [
        response(value, name, confidence=confidence, trust=trust, slot=slot, seq=slot + 2)
        for slot, (value, name, confidence, trust) in enumerate(given)
    ]
    seqs = [one.seq for one in arrived]
    random.shuffle(seqs)
    otherwise = [
        msgspec.structs.replace(one, seq=seq) for one, seq in zip(arrived, seqs, strict=True)
    ]
    random.shuffle(otherwise)
    assert outcome(fold, arrived) == outcome(fold, otherwise)


def outcome(fold: Fold, responses: list[Response]) -> bytes:
    match fold_responses(JSON_RUN, fold, responses):
        case Folded() as found:
            return canonical(
                [found.answer, found.confidence, [one.call for one in found.responses]]
            )
        case FoldProblem(code=code, reason=reason):
            return canonical([code, reason])


@given(RESPONSES, st.sampled_from(sorted(FOLDS)))
def test_a_confidence_is_from_0_to_1(given: Any, kind: Any) -> None:
    """P17."""
    fold = Fold(kind=kind, expression="responses[0].answer" if kind == "expression" else None)
    arrived = [
        response(value, name, confidence=confidence, trust=trust, slot=slot)
        for slot, (value, name, confidence, trust) in enumerate(given)
    ]
    found = fold_responses(JSON_RUN, fold, arrived)
    if isinstance(found, Folded) and found.confidence is not None:
        assert 0.0 <= found.confidence <= 1.0
        assert not math.isnan(found.confidence)


def test_a_fold_is_the_same_after_the_records_are_read_back() -> None:
    """P2: canonical JSON makes 1.0 of 1 and the answer does not notice."""
    fold = Fold(kind="expression", expression="responses.map(r, r.answer / 3)")
    before = folded(fold, response(4.0, confidence=1.0))
    after = folded(fold, response(4, confidence=1))
    assert canonical([before.answer, before.confidence]) == canonical(
        [after.answer, after.confidence]
    )


# obligations


def promise(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "status": status, **more}


def resolved(rule: str, *promises: dict[str, Any]) -> Any:
    """What a fold keeps of promises that came in this order, and not in that of their givers."""
    k = run(side_effects={"obligation_resolution": rule})
    responses = [
        response("x", name, seq=10 + place, obligations=(one,))
        for place, (name, one) in enumerate(zip("cab", promises, strict=False))
    ]
    return folded(Fold(), *responses, k=k).obligations


PENDING, WAIVED, FULFILLED = (promise("o", status) for status in ("pending", "waived", "fulfilled"))


@pytest.mark.parametrize(
    ("rule", "promises", "kept"),
    [
        ("last_writer_wins", (FULFILLED, PENDING), PENDING),
        ("last_writer_wins", (PENDING, FULFILLED, WAIVED), WAIVED),
        ("fulfills_wins", (FULFILLED, PENDING, WAIVED), FULFILLED),
        ("fulfills_wins", (PENDING, WAIVED), WAIVED),
        ("fulfills_wins", ({**FULFILLED, "by": 1}, {**FULFILLED, "by": 2}), {**FULFILLED, "by": 2}),
        ("validation_error", (PENDING, PENDING), PENDING),
    ],
)
def test_obligations_that_disagree_are_resolved_by_rule(
    rule: str, promises: tuple[dict[str, Any], ...], kept: dict[str, Any]
) -> None:
    """P7: obligation_resolution, by sequence and not by name."""
    assert resolved(rule, *promises) == (kept,)


def test_two_obligations_do_not_meddle_with_each_other() -> None:
    """P7: only the same id can disagree; the result is sorted by id."""
    other = promise("b", "pending")
    assert resolved("validation_error", PENDING, other) == (other, PENDING)


def test_a_disagreement_may_be_an_error() -> None:
    """P19: obligation_conflict, naming which."""
    k = run(side_effects={"obligation_resolution": "validation_error"})
    found = problem(
        Fold(),
        response("x", "a", obligations=(PENDING,)),
        response("x", "b", obligations=(WAIVED,)),
        k=k,
    )
    assert (found.code, found.reason) == ("obligation_conflict", "responses disagree about o")


def test_obligations_travel_with_the_folded_answer() -> None:
    assert folded(Fold(), response("x", obligations=(PENDING,))).obligations == (PENDING,)
