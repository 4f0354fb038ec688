"""Who goes out next: never more than there are places, and no provider has them all."""

from collections import Counter
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from covend.actors.calls.turns import Lane, Turns, next_lane

LANES = [Lane("a", "a1"), Lane("a", "a2"), Lane("b", "b1"), Lane("c", "c1")]
lanes = st.sampled_from(LANES)


def may_go(lane, out, places):
    """The rule in other words: what is free is more than its host and its responder have."""
    of_host = sum(count for other, count in out.items() if other.host == lane.host)
    return of_host + out.get(lane, 0) < places - sum(out.values())


@given(
    st.dictionaries(lanes, st.integers(0, 99)),
    st.dictionaries(lanes, st.integers(0, 6)),
    st.integers(1, 16),
)
def test_the_oldest_of_those_that_may_goes(heads, out, places):
    chosen = next_lane(heads, out, places)
    able = [lane for lane in heads if may_go(lane, out, places)]
    assert (chosen is None) == (not able)
    assert chosen is None or heads[chosen] == min(heads[lane] for lane in able)


@given(st.integers(1, 20), st.lists(st.one_of(lanes, st.integers(0, 30)), max_size=80))
def test_nobody_has_more_than_a_share_and_everybody_gets_a_turn(places, events):
    """A lane is a call that comes, a number is one of those out that ends."""
    turns, lane_of, out, waiting = Turns(places), {}, [], []

    def fill():
        while (name := turns.take()) is not None:
            waiting.remove(name)
            out.append(name)
            lane, before = lane_of[name], Counter(lane_of[one] for one in out[:-1])
            older = waiting[: sum(one < name for one in waiting)]
            assert not any(may_go(lane_of[one], before, places) for one in older)
            taken = Counter(lane_of[one] for one in out)
            assert len(out) <= places
            assert taken[lane] <= ceil(places / 3)
            assert sum(n for one, n in taken.items() if one.host == lane.host) <= ceil(places / 2)

    for number, event in enumerate(events):
        if isinstance(event, Lane):
            lane_of[number] = event
            waiting.append(number)
            turns.join(number, event)
        elif out:
            turns.leave(out.pop(event % len(out)))
        fill()
    while out:
        turns.leave(out.pop(0))
        fill()
    assert not waiting
    assert turns.take() is None


@given(st.integers(4, 100))
def test_however_many_calls_hang_at_one_host_another_host_has_places(places):
    turns = Turns(places)
    for number in range(2 * places):
        turns.join(f"hung {number}", LANES[number % 2])
    while turns.take() is not None:
        pass
    turns.join("quick", LANES[2])
    assert turns.take() == "quick"


@given(st.integers(4, 100))
def test_a_responder_that_hangs_leaves_places_to_another_of_its_host(places):
    turns = Turns(places)
    for number in range(places):
        turns.join(f"hung {number}", LANES[0])
    hung = sum(turns.take() is not None for _ in range(places))
    turns.join("quick", LANES[1])
    assert (turns.take() == "quick") == (2 * hung < places)


def test_who_waits_no_more_gets_no_turn():
    turns = Turns(1)
    for name in ("first", "second", "third"):
        turns.join(name, LANES[0])
    assert turns.take() == "first"
    turns.leave("second")
    turns.leave("second")
    assert turns.take() is None
    turns.leave("first")
    assert turns.take() == "third"
