"""Restart decisions as tables (S2, S4, S5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.runtime import KILLED, NOPROC, NORMAL, SHUTDOWN, ZOMBIE, Escalated, Exit, Failed
from covend.supervisors.decide import Action, Member, is_restarted, on_death, plan

ABNORMAL = [Failed(ValueError("x")), Escalated(KILLED), KILLED, NOPROC, ZOMBIE]


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, *ABNORMAL], ids=str)
def test_the_restart_type_and_the_reason_decide(reason: Exit) -> None:
    """S5."""
    assert is_restarted("permanent", reason)
    assert is_restarted("transient", reason) is (reason not in (NORMAL, SHUTDOWN))
    assert not is_restarted("temporary", reason)


MEMBERS = st.lists(
    st.builds(
        Member,
        id=st.sampled_from("abcdef"),
        restart=st.sampled_from(["permanent", "transient", "temporary"]),
        significant=st.booleans(),
        up=st.booleans(),
    ),
    min_size=1,
    unique_by=lambda member: member.id,
)


@given(members=MEMBERS, data=st.data())
def test_a_plan_stops_right_to_left_and_starts_left_to_right(
    members: list[Member], data: st.DataObject
) -> None:
    """S2, S4, S5: for every strategy and any state of the siblings."""
    order = [member.id for member in members]
    dead = data.draw(st.sampled_from(members)).id
    for strategy, group in (
        ("one_for_one", {dead}),
        ("one_for_all", set(order)),
        ("rest_for_one", set(order[order.index(dead) :])),
    ):
        todo = plan(members, strategy, dead)  # type: ignore[arg-type]
        assert list(todo.stop) == sorted(todo.stop, key=order.index, reverse=True)
        assert list(todo.start) == sorted(todo.start, key=order.index)
        assert set(todo.start) | set(todo.drop) == group
        assert not set(todo.start) & set(todo.drop)
        assert set(todo.stop) == {m.id for m in members if m.id in group and m.up} - {dead}
        assert set(todo.drop) == {
            m.id for m in members if m.id in group and m.restart == "temporary"
        }


@given(members=MEMBERS, data=st.data())
def test_auto_shutdown_needs_a_significant_child_that_ended_for_good(
    members: list[Member], data: st.DataObject
) -> None:
    dead = data.draw(st.sampled_from(members))
    reason = data.draw(st.sampled_from([NORMAL, KILLED]))
    actions = {
        mode: on_death(members, mode, dead.id, reason)  # type: ignore[arg-type]
        for mode in ("never", "any_significant", "all_significant")
    }
    others = [m for m in members if m.id != dead.id and m.significant and m.up]
    if is_restarted(dead.restart, reason):
        assert set(actions.values()) == {Action.RESTART}
    else:
        down = Action.DROP if dead.restart == "temporary" else Action.KEEP
        assert actions["never"] is down
        assert actions["any_significant"] is (Action.SHUT_DOWN if dead.significant else down)
        last = dead.significant and not others
        assert actions["all_significant"] is (Action.SHUT_DOWN if last else down)
