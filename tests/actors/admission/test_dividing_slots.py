"""Slots divided among gates: fair, and never more than there are (W8)."""

from hypothesis import given
from hypothesis import strategies as st

from covend.actors.admission.slots import fair_share, safe_grant

GATES = ("gate-0", "gate-1", "gate-2")
counts = st.fixed_dictionaries({gate: st.integers(0, 6) for gate in GATES})


@given(total=st.integers(1, 12), in_use=counts, waiting=counts)
def test_a_share_gives_out_every_slot_and_takes_none_that_is_used(total, in_use, waiting):
    share = fair_share(total, in_use, waiting)
    assert all(share[gate] >= in_use[gate] for gate in GATES)
    assert sum(share.values()) == max(total, sum(in_use.values()))


def test_unused_slots_go_where_requests_wait():
    assert fair_share(4, {"a": 0, "b": 0}, {"a": 4}) == {"a": 4, "b": 0}
    assert fair_share(4, {"a": 0, "b": 0}, {}) == {"a": 2, "b": 2}


@given(data=st.data(), total=st.integers(1, 8), rounds=st.integers(1, 12))
def test_no_two_gates_ever_believe_in_the_same_slot(data, total, rounds):
    """A gate may count on the largest grant it was sent and has not replaced by a later one."""
    sent = {gate: [0] for gate in GATES}
    for _ in range(rounds):
        in_use = {g: data.draw(st.integers(0, min(sent[g]))) for g in GATES}
        waiting = {g: data.draw(st.integers(0, 4)) for g in GATES}
        believed = {g: max(sent[g]) for g in GATES}
        grant = safe_grant(total, fair_share(total, in_use, waiting), believed)
        for gate in GATES:
            sent[gate].append(grant[gate])
        assert sum(max(grants) for grants in sent.values()) <= total
        for gate in data.draw(st.sets(st.sampled_from(GATES))):
            sent[gate] = sent[gate][-1:]
