"""A member that is there twice is found, wherever it is, and nothing else is (I-JSON)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.duplicates import duplicate

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_what_a_program_writes_has_no_duplicates(value):
    assert duplicate(json.dumps(value)) is None


@given(VALUES, VALUES, st.text(max_size=5))
def test_a_duplicate_is_found_at_any_depth(one, other, name):
    key = json.dumps(name)
    inner = f"{{{key}: {json.dumps(one)}, {key}: {json.dumps(other)}}}"
    assert duplicate(inner) == f"$.{name}"
    assert duplicate(f'[1, {{"x": [{inner}], "y": 2}}]') == f"$[1].x[0].{name}"


@pytest.mark.parametrize("text", ['{"a": 1, "\\u0061": 2}', b'{"a": {}, "a": {"b": 1}}'])
def test_names_are_compared_and_not_how_they_are_written(text):
    assert duplicate(text) == "$.a"
