"""P16: agreement is canonical equality on the fold key, never similarity of text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.patterns.answers.agreement import agreement, comparable, same
from covend.patterns.query.spec import Fold
from covend.phylactery.canonical import canonical

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("fold", "one", "other", "expected"),
    [
        (Fold(), "yes", "yes", 1.0),
        (Fold(), "yes", "Yes", 0.0),
        (Fold(), "It is safe.", "It is not safe.", 0.0),
        (Fold(), 1, 1.0, 1.0),
        (Fold(), 1, True, 0.0),
        (Fold(), None, None, 1.0),
        (Fold(), [1, 2], [1, 2], 1.0),
        (Fold(), [1, 2], [2, 1], 0.0),
        (Fold(), {"a": 1, "b": 2}, {"b": 2, "a": 1}, 1.0),
        (Fold(), {"a": 1, "b": 2}, {"a": 1, "b": 3}, 0.5),
        (Fold(), {"a": 1}, {"a": 1, "b": 3}, 0.5),
        (Fold(), {"a": 1}, "a", 0.0),
        (Fold(), {}, {}, 1.0),
        (Fold(), {"a": 1, "_why": "x"}, {"a": 1, "_why": "y", "_sure": 1}, 1.0),
        (Fold(), {"a": {"b": 1, "_c": 1}}, {"a": {"b": 1, "_c": 2}}, 1.0),
        (Fold(), [{"_c": 1}], [{"_c": 2}], 1.0),
        (Fold(key=("a",)), {"a": 1, "b": 2}, {"a": 1, "b": 3}, 1.0),
        (Fold(key=("a", "b")), {"a": 1, "b": 2}, {"a": 1, "b": 3}, 0.5),
        (Fold(key=("a.b",)), {"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, 1.0),
        (Fold(key=("a.b",)), {"a": {"b": 1}}, {"a": {"b": 2}}, 0.0),
        (Fold(key=("a.b",)), {"a.b": 1}, {"a": {"b": 1}}, 1.0),
        (Fold(key=("a",)), {}, {}, 1.0),
        (Fold(key=("a",)), {"a": None}, {}, 0.0),
        (Fold(tolerance={"a": 0.1}), {"a": 1.0}, {"a": 1.05}, 1.0),
        (Fold(tolerance={"a": 0.5}), {"a": 1.0}, {"a": 1.5}, 1.0),
        (Fold(tolerance={"a": 0.1}), {"a": 1.0}, {"a": 1.2}, 0.0),
        (Fold(tolerance={"a": 0.1}), {"a": "1.0"}, {"a": "1.05"}, 0.0),
        (Fold(tolerance={"a": 2}), {"a": True}, {"a": False}, 0.0),
        (Fold(tolerance={"a.b": 1}), {"a": {"b": 1, "c": 2}}, {"a": {"b": 2, "c": 2}}, 1.0),
        (Fold(tolerance={"a.b": 1}), {"a": {"b": 1, "c": 2}}, {"a": {"b": 2, "c": 3}}, 0.0),
        (Fold(tolerance={"$": 0.5}), 3, 3.5, 1.0),
        (Fold(tolerance={"$": 0.5}), 3, 3.501, 0.0),
    ],
)
def test_answers_agree_by_their_fields(fold: Fold, one: Any, other: Any, expected: float) -> None:
    """P16."""
    assert agreement(fold, one, other) == expected
    assert agreement(fold, other, one) == expected


@given(JSON, JSON)
def test_agreement_is_a_share_and_goes_both_ways(one: Any, other: Any) -> None:
    """P16: 0 to 1, symmetric, and every answer agrees with itself."""
    fold = Fold()
    assert 0.0 <= agreement(fold, one, other) <= 1.0
    assert agreement(fold, one, other) == agreement(fold, other, one)
    assert agreement(fold, one, one) == 1.0


@given(JSON, JSON)
def test_answers_are_the_same_whose_bytes_without_notes_are(one: Any, other: Any) -> None:
    """P16, P17: where nothing is said of fields and tolerances."""
    alike = canonical(comparable(one)) == canonical(comparable(other))
    assert same(Fold(), one, other) == alike


def test_a_member_that_only_one_of_them_has_is_a_difference_at_any_depth():
    """P16: whichever of the two is looked at first."""
    less, more = {"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1, "d": 2}}}
    assert not same(Fold(), less, more)
    assert not same(Fold(), more, less)
