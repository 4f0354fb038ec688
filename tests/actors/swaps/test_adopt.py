"""What a new arbiter makes of what it finds alive (W25)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.actors.swaps.adopt import adopt
from covend.will.model import Coven, Device, Model, Soulstone


def model():
    stone = {"memory": {"d": 10}}
    return Model(
        [Device("d", 100)],
        [
            Soulstone("a1", **stone),
            Soulstone("a2", **stone),
            Soulstone("b", **stone),
            Soulstone("lex", lexicon=True, **stone),
            Soulstone("out", authority="shared", memory={}),
        ],
        [Coven("A", ("a1", "a2"), ("d",)), Coven("B", ("b",), ("d",))],
    )


@pytest.mark.parametrize(
    ("alive", "under_way", "covens", "reap"),
    [
        ((), None, (), set()),
        (("a1", "a2"), None, ("A",), set()),
        (("a1",), None, ("A",), set()),
        (("a1", "b"), None, ("B",), {"a1"}),
        (("a1", "b"), "A", ("B",), {"a1"}),
        (("a1", "lex", "out"), None, ("A",), set()),
        (("ghost",), None, (), {"ghost"}),
    ],
)
def test_the_living_amount_to_covens_and_the_rest_is_reaped(alive, under_way, covens, reap):
    """W25: whole covens first; what belongs to no chosen coven goes, lexicons never."""
    found = adopt(model(), alive, under_way)
    assert found.covens == covens
    assert found.reap == reap


@given(alive=st.sets(st.sampled_from(["a1", "a2", "b", "lex", "out", "ghost"])))
def test_no_two_adopted_covens_exclude_each_other(alive):
    """W3, in every state a crash can leave behind."""
    box = model()
    found = adopt(box, alive)
    for one, other in itertools.combinations(found.covens, 2):
        assert other not in box.covens[one].conflicts
    assert not found.reap & {"lex", "out"}
