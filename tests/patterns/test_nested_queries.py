"""Nested queries: triggers, budgets, depth, loops, joins (rules §6, "A seventh"; P13, P15)."""

from __future__ import annotations

from typing import Any

import pytest
from tools.golden.play import Play, intend, llm, paid, query, state
from tools.golden.stories import STORIES

from covend.patterns.nesting import (
    alike,
    child_thread,
    gathered,
    join_thread,
    joined,
    passed_over,
)
from covend.patterns.query.spec import Join


def next_one(name: str = "next", **more: Any) -> dict[str, Any]:
    return {"name": name, "query": query("a", input={"ref": "know.answer"}), **more}


def ended(*triggers: dict[str, Any], **plan: Any) -> Play:
    play = Play(intend(query("a", triggers=list(triggers)), paid("a", 1.0), **plan))
    return play.reply("primary/0", {"x": 1}, cost=1.0)


def test_a_trigger_that_fires_says_all_that_beginning_the_child_takes() -> None:
    """In the same step as the end, so in its transaction."""
    play = ended(next_one(), budget=3.0)
    assert [draft.kind for draft in play.drafts] == ["know", "trigger"]
    (body,) = play.bodies("trigger")
    assert body == {
        "trigger": "next",
        "child": child_thread("q-play", "next"),
        "query": body["query"],
        "answer": {"x": 1},
        "budget": 2,
        "parent": "q-play",
        "chain": ["q-play"],
        "depth": 1,
        "join": None,
    }
    assert body["query"]["question"] == "Is it so?"


def test_what_is_left_of_the_budget_is_divided_among_those_that_fire() -> None:
    """P13; a condition that cannot be evaluated does not hold (P15)."""
    play = STORIES["nested_two_fire_one_does_not"]()
    assert [(b["trigger"], b["budget"]) for b in play.bodies("trigger")] == [
        ("one", 4.5),
        ("two", 4.5),
    ]


def test_the_shares_never_add_up_to_more_than_is_left() -> None:
    """P13: no rounding makes money."""
    play = ended(*(next_one(f"t{i}") for i in range(3)), budget=2.0)
    assert sum(body["budget"] for body in play.bodies("trigger")) <= 1.0


def test_a_child_may_be_given_less_than_its_share() -> None:
    """P13: its own limit holds as well."""
    modest = next_one()
    modest["query"]["side_effects"] = {"max_cost_usd": 0.25}
    assert ended(modest, budget=9.0).bodies("trigger")[0]["budget"] == 0.25
    assert ended(modest).bodies("trigger")[0]["budget"] == 0.25


def test_without_a_limit_a_child_has_none() -> None:
    assert ended(next_one()).bodies("trigger")[0]["budget"] is None


def test_a_trigger_fires_by_how_its_query_ended() -> None:
    play = Play(
        intend(
            query(
                "a",
                triggers=[next_one("good"), next_one("bad", when="know.status == 'cancelled'")],
            ),
            llm("a"),
        )
    )
    assert [body["trigger"] for body in play.cancel().bodies("trigger")] == ["bad"]


def test_deeper_than_sixteen_is_refused_with_the_reason() -> None:
    (body,) = ended(next_one(), depth=16).bodies("trigger")
    assert body == {"trigger": "next", "refused": "nested deeper than 16", "parent": "q-play"}
    assert ended(next_one(), depth=15).bodies("trigger")[0]["depth"] == 16


def test_a_loop_is_refused_by_its_chain_of_causes_and_costs_the_others_nothing() -> None:
    """A join's thread can come back to itself: the query it begins names the join again."""
    join = Join(id="j", of=1)
    again = next_one("again", join={"id": "j", "of": 1})
    play = ended(again, next_one("on"), chain=["q-root", join_thread(join)], budget=2.0)
    refused, fired = play.bodies("trigger")
    assert refused["refused"].startswith("a loop")
    assert (fired["trigger"], fired["budget"]) == ("on", 1)
    assert fired["chain"] == ["q-root", join_thread(join), "q-play"]


def test_a_run_that_would_begin_itself_is_a_loop() -> None:
    """Whom a join began has a trigger of the same join: it is its own cause, and has no others."""
    again = next_one("again", join={"id": "j", "of": 1})
    body = intend(query("a", triggers=[again]), llm("a"))
    play = Play(body, thread=join_thread(Join(id="j", of=1))).reply("primary/0", 1)
    (refused,) = play.bodies("trigger")
    assert refused["refused"] == f"a loop: {play.thread} would be its own cause"


def test_triggers_are_derived_again_on_replay_and_never_twice() -> None:
    """P20: exactly once. A crash between the end and its triggers leaves them missing, not lost."""
    play = ended(next_one())
    assert state(play) == play.k
    again = play.reply("primary/0", "another")
    assert again.drafts == []


def test_a_child_has_the_name_of_its_cause() -> None:
    names = {
        child_thread("q-1", "a"),
        child_thread("q-1", "b"),
        child_thread("q-2", "a"),
        join_thread(Join(id="a", of=2)),
    }
    assert len(names) == 4
    assert all(name.startswith("q-") for name in names)
    assert join_thread(Join(id="a", of=2)) == join_thread(Join(id="a", of=3, need="any"))


def test_a_join_is_among_one_person_s_queries() -> None:
    """Nobody takes part in another's, nor in the operators', by naming its id."""
    meet = next_one(join={"id": "j", "of": 2})
    theirs = [ended(meet, joins_of=did).bodies("trigger")[0] for did in ("did:ann", "did:bob")]
    (operators,) = ended(meet).bodies("trigger")
    assert len({body["child"] for body in (*theirs, operators)}) == 3
    assert operators["child"] == join_thread(Join(id="j", of=2))
    assert theirs[0]["child"] == join_thread(Join(id="j", of=2), "did:ann")
    assert [body.get("by") for body in (*theirs, operators)] == ["did:ann", "did:bob", None]
    again = ended(meet, joins_of="did:ann", chain=[theirs[0]["child"]])
    assert again.bodies("trigger")[0]["refused"].startswith("a loop")


def member(parent: str, answer: Any = None, budget: float | None = None) -> dict[str, Any]:
    return {"parent": parent, "answer": answer, "budget": budget}


@pytest.mark.parametrize(
    ("need", "parents", "complete"),
    [
        ("all", "ab", False),
        ("all", "abc", True),
        ("all", "aab", False),
        ("any", "", False),
        ("any", "a", True),
        (2, "a", False),
        (2, "ac", True),
        (2, "cc", False),
    ],
)
def test_a_join_is_complete_when_so_many_different_members_fired(
    need: Any, parents: str, complete: bool
) -> None:
    join = Join(id="j", of=3, need=need)
    assert joined(join, [member(parent) for parent in parents]) is complete


def test_a_refused_member_does_not_count() -> None:
    join = Join(id="j", of=1)
    assert not joined(join, [{"trigger": "t", "refused": "a loop", "parent": "a"}])


def test_a_join_hands_down_answers_in_the_order_of_their_threads_and_adds_up_the_money() -> None:
    """P13: in whatever order the members ended."""
    members = [member("q-b", 2, 0.1), member("q-a", 1, 0.2), member("q-c", 3)]
    assert gathered(members) == ([1, 2, 3], 0.3)
    assert gathered([member("q-a", 1)]) == ([1], None)


def part(parent: str, of: int = 2, need: Any = "all", question: str = "?") -> dict[str, Any]:
    join = {"id": "j", "of": of, "need": need}
    return {**member(parent), "join": join, "query": {"question": question}}


def test_only_those_that_mean_the_same_join_are_its_members() -> None:
    """P20: another count, another need and another next query are another join."""
    known = [part("a", of=3), part("b", need="any"), part("c", question="!"), part("d")]
    mine = part("e", of=2)
    assert alike(mine, [*known, mine]) == [known[3], mine]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], None),
        ([part("a")], None),
        ([part("z")], None),
        ([part("a", of=3)], "another part of the join 'j' has another `of`, `need` or query"),
        ([part("a"), part("b")], "the join 'j' has had its 2 parts: an id is for one use"),
    ],
)
def test_a_part_that_can_begin_nothing_is_told_why(
    others: list[dict[str, Any]], said: str | None
) -> None:
    mine = part("z")
    known = [*others, mine]
    assert passed_over(Join(id="j", of=2), alike(mine, known), known) == said
