"""Canonical JSON against RFC 8785's own examples, and as a property (D1)."""

from __future__ import annotations

import json
import struct

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from covend.phylactery.canonical import MAX_SAFE_INTEGER, NotCanonical, canonical, parse

# RFC 8785, appendix B: IEEE 754 bits and what ECMAScript prints for them.
RFC_NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "expected"), RFC_NUMBERS)
def test_numbers_are_printed_as_ecmascript_prints_them(bits: str, expected: str) -> None:
    """D1, RFC 8785 appendix B."""
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == expected


def test_the_rfcs_example_of_strings_numbers_and_literals() -> None:
    """D1, RFC 8785 section 3.2.2."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_members_are_sorted_by_their_utf_16_code_units() -> None:
    """D1, RFC 8785 section 3.2.3: the emoji's surrogates come before U+FB33."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    members = json.loads(canonical(dict.fromkeys(names, 0)))
    assert list(members) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_canonical_json_says_the_same_and_is_stable(value: object) -> None:
    """D1: reading it back, as we or as ECMAScript does, and writing it again gives the same."""
    text = canonical(value)
    assert canonical(parse(text.decode())) == text
    assert canonical(json.loads(text, parse_int=float)) == text


@given(json_values)
@example({"b": 0.5, "a": [1e-4, 1e15, 123456.789, -0.0, 1.0, 2**53 - 1], "\x7f": "\u2028\x1f"})
@example({"\U0001f600": 1, "\ufb33": 2})
def test_the_fast_path_gives_the_bytes_of_the_reference(value: object) -> None:
    """D1: msgspec's encoder is used only where it agrees with the rfc8785 package."""
    assert canonical(value) == rfc8785.dumps(value)


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1, 1)
    | st.floats(-1e17, 1e17)
    | st.integers(-(10**17), 10**17).map(float)
    | st.builds(round, st.floats(-1e3, 1e3), st.integers(0, 9))
)
@example(1e-5)
@example(9.999e-6)
@example(999999999999999.9)
@example(1e15)
@example(-0.0)
def test_every_float_is_printed_as_the_reference_prints_it(value: float) -> None:
    """D1."""
    assert canonical(value) == rfc8785.dumps(value)
    assert canonical([value, {"n": value}]) == rfc8785.dumps([value, {"n": value}])
    assert parse(canonical(value).decode()) == value


@given(
    st.lists(
        st.integers(-(10**20), 10**20)
        | st.integers(10**15, 10**17)
        | st.integers(MAX_SAFE_INTEGER - 9, MAX_SAFE_INTEGER + 9)
        | st.text("0129e-.:,[ ", min_size=14, max_size=40),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([None, 1]),
)
def test_whole_numbers_too_large_for_every_reader_become_floats(
    items: list[object], indent: int | None
) -> None:
    """D1: wherever they stand, and whatever text with as many digits is around them."""
    inner = {str(item): item for item in items}
    for value in (items, inner, items[0]):
        text = json.dumps(value, indent=indent)
        exact = json.loads(text, parse_int=lambda n: n if abs(n := int(n)) < 2**53 else float(n))
        assert repr(parse(text)) == repr(exact)


@pytest.mark.parametrize("text", ["NaN", "[", '{"a":}', "[" * 100_000, "01", ""])
def test_what_is_no_json_is_refused(text: str) -> None:
    """D1."""
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [float("nan")]}, "$.a[0]"),
        ({"a": float("inf")}, "$.a"),
        ({"n": 2**53}, "$.n"),
        (["\ud800"], "$[0]"),
        ({1: 2}, "$"),
        ({"a": {"b": object()}}, "$.a.b"),
        ({"a": b"bytes"}, "$.a"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_path(value: object, path: str) -> None:
    """D1: clear refusal, never a guess."""
    with pytest.raises(NotCanonical) as caught:
        canonical(value)
    assert caught.value.path == path
    assert str(caught.value).startswith(path + ": ")


def test_endless_nesting_is_refused() -> None:
    """D1: a value that contains itself does not end the process."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(NotCanonical, match="nested deeper"):
        canonical(value)
