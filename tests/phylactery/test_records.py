"""Records are named by their content (D1)."""

from __future__ import annotations

import dataclasses
import hashlib

import msgspec
import pytest

from covend.phylactery.canonical import NotCanonical
from covend.phylactery.records import BadRecord, is_intact, record


def test_the_id_is_the_sha256_of_the_canonical_content() -> None:
    """D1, written out by hand once."""
    made = record("swap/1", "phase", {"b": 1.0, "a": "x"}, actor="arbiter", act="DO", clock=7)
    content = (
        '{"act":"DO","actor":"arbiter","body":{"a":"x","b":1},"clock":7,'
        '"kind":"phase","parents":[],"thread":"swap/1"}'
    )
    assert made.id == hashlib.sha256(content.encode()).hexdigest()
    assert is_intact(made)


@pytest.mark.parametrize(
    "change",
    [
        {"thread": "swap/2"},
        {"actor": "coven"},
        {"act": "KNOW"},
        {"kind": "other"},
        {"text": '{"a":2}'},
        {"clock": 8},
        {"parents": ("0" * 64,)},
    ],
)
def test_every_member_counts_for_the_id(change: dict[str, object]) -> None:
    """D1: nothing in a record can change and keep its name."""
    made = record("swap/1", "phase", {"a": 1}, actor="arbiter", act="DO", clock=7)
    assert not is_intact(msgspec.structs.replace(made, **change))


def test_a_records_clock_is_after_its_parents() -> None:
    """D1: hybrid clock, also when the wall clock was set back."""
    future = record("t", "k", {}, actor="a", clock=2**52)
    child = record("t", "k", {}, actor="a", parents=[future])
    assert child.clock == 2**52 + 1
    assert child.parents == (future.id,)


def test_bad_records_are_refused_when_they_are_made() -> None:
    """X6: what is wrong and what would be right."""
    with pytest.raises(BadRecord, match="thread"):
        record("", "k", {}, actor="a")
    with pytest.raises(BadRecord, match="INTEND"):
        record("t", "k", {}, actor="a", act="WISH")  # type: ignore[arg-type]
    with pytest.raises(BadRecord, match="object"):
        record("t", "k", [1], actor="a")  # type: ignore[arg-type]
    with pytest.raises(NotCanonical, match=r"\$\.at"):
        record("t", "k", {"at": dataclasses}, actor="a")
