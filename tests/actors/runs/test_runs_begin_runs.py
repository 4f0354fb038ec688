"""Triggers and joins: the next query begins exactly once, with the end that caused it (P7, P20)."""

import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import lay_down

from covend.patterns.nesting import child_thread, join_thread
from covend.patterns.query.spec import Join
from covend.phylactery.actor import Phylactery
from covend.phylactery.messages import Purge, Query, Threads
from covend.questions import ShowQuery, SubmitQuery
from covend.testing import eventually


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path / "store.db", monkeypatch)
    made.scripted("one", lambda asked: f"{asked['question']} {asked['input']}")
    return made


def then(name, question="then?", ref="know.answer", **more):
    asked = {**query("one", question=question), "input": {"ref": ref}}
    return {"name": name, "query": {**asked, **more.pop("query", {})}, **more}


def children(core, parent):
    return core.system.address("phylactery").ask(Threads(parent=parent), timeout=5.0)


def test_the_end_of_one_query_is_the_input_of_the_next(world):
    """rules §6, "A seventh": in the transaction that committed the end."""
    asked = {**query("one", question="first?"), "input": {"inline": "x"}}
    with world.core() as core:
        thread = core.submit({**asked, "triggers": [then("next")]})["id"]
        core.ended(thread)
        child = child_thread(thread, "next")
        assert core.ended(child)["answer"] == "then? first? x"
        assert [row["id"] for row in children(core, thread)] == [child]
        kinds = [entry["kind"] for entry in core.records(thread)]
        assert kinds == ["intend", "call", "do", "know", "trigger"]
        seqs = [core.records(thread, "trigger")[0]["seq"], core.records(child)[0]["seq"]]
        assert seqs[1] == seqs[0] + 1


def test_a_trigger_fires_only_if_its_condition_holds(world):
    """P15."""
    never = then("never", when="know.answer == 'no'")
    with world.core() as core:
        thread = core.submit({**query("one"), "triggers": [never, then("always")]})["id"]
        core.ended(child_thread(thread, "always"))
        assert [row["id"] for row in children(core, thread)] == [child_thread(thread, "always")]


def test_a_next_query_that_does_not_hold_begins_nothing_and_its_reasons_are_a_record(world):
    """P19: the end that would have begun it stands."""
    lost = {"name": "next", "query": {**query("one"), "input": {"record_id": "0" * 64}}}
    with world.core() as core:
        thread = core.submit({**query("one"), "triggers": [lost]})["id"]
        assert core.ended(thread)["status"] == "fulfilled"
        child = child_thread(thread, "next")
        assert core.records(child) == []
        refusal = core.records(thread)[-1]
        assert (refusal["kind"], refusal["body"]["code"]) == ("refused", "invalid_query")
        assert refusal["body"]["errors"][0]["path"] == "$.input.record_id"
        assert (refusal["body"]["trigger"], refusal["body"]["child"]) == ("next", child)
        assert "$.input.record_id: there is no record" in refusal["body"]["refused"]
        assert children(core, thread) == []
        core.parked()


def test_a_child_spends_what_its_parent_left(world):
    """P13: the budget is carved from the parent's."""
    world.scripted("dear", "d", cost={"per_call": 0.6})
    asked = query("dear", side_effects={"max_cost_usd": 1.0})
    child = {**query("dear", question="again?")}
    with world.core() as core:
        know = core.run({**asked, "triggers": [{"name": "next", "query": child}]}, key="k")
        assert know["status"] == "fulfilled"
        thread = core.submit({**asked, "triggers": [{"name": "next", "query": child}]}, key="k")
        assert core.ended(child_thread(thread["id"], "next"))["code"] == "cost_budget_exceeded"
    assert len(world.called) == 1


def joining(number, need="all"):
    return then("meet", "all?", "know.answers", join={"id": "j", "of": 3, "need": need}) | {
        "when": "true"
    }


@pytest.mark.parametrize(("need", "of"), [("all", 3), ("any", 1), (2, 2)])
def test_several_ends_begin_one_query_once(world, need, of):
    """P20: the one that completes the join begins it; all of them end at the same time."""
    world.held.clear()
    with world.core() as core:
        asked = [
            {**query("one", question=f"{n}?"), "triggers": [joining(n, need)]} for n in range(3)
        ]
        threads = [core.submit(one)["id"] for one in asked]
        eventually(lambda: len(world.called) == 3, what="all are under way")
        world.held.set()
        for thread in threads:
            core.ended(thread)
        store = core.system.address("phylactery")
        child = core.records(threads[0], "trigger")[0]["body"]["child"]
        know = core.ended(child)
        assert know["answer"].count("None") == of
        intends = store.ask(Query(kind="intend", thread=child), timeout=5.0)
        assert len(intends) == 1
        assert len(core.records(child, "joined")) == 3
        assert len(world.called) == 4


def part_of(join, then_asked="all?", **more):
    """A query with a part in a join, whose next query asks this."""
    meet = then("meet", then_asked, "know.answers", join={"id": "audit", **join})
    return {**query("one", **more), "triggers": [meet]}


def thread_of(core, asked, by=None):
    """Submits, and waits for the end; the thread."""
    thread = core.submit(asked, by=by)["id"]
    core.ended(thread)
    return thread


def refusals(core, thread):
    return [entry["body"]["refused"] for entry in core.records(thread, "unjoined")]


def test_nobody_takes_part_in_another_person_s_join(world):
    """P20: whoever knows its id neither sees an answer of it, nor takes its place."""
    with world.core() as core:
        ann = [thread_of(core, part_of({"of": 2}, question="ann 1"), "did:ann")]
        greedy = part_of({"of": 1, "need": "any"}, question="mallory")
        mallory = thread_of(core, greedy, "did:mallory")
        operator = thread_of(core, greedy)
        ann.append(thread_of(core, part_of({"of": 2}, question="ann 2"), "did:ann"))
        joins = [core.records(one, "trigger")[0]["body"]["child"] for one in (*ann, mallory)]
        assert joins[0] == joins[1] != joins[2]
        answers = [core.ended(child)["answer"] for child in joins[1:]]
        assert "ann 1" in answers[0] and "ann 2" in answers[0] and "mallory" not in answers[0]
        assert "mallory" in answers[1] and "ann" not in answers[1]
        assert not any(refusals(core, one) for one in (*ann, mallory, operator))
        (intend,) = core.records(joins[0], "intend")
        assert intend["body"]["by"] == intend["body"]["joins_of"] == "did:ann"


def test_parts_that_mean_another_join_are_not_counted_together(world):
    """P20: the count is of those that agree; each of the others is told."""
    with world.core() as core:
        first = thread_of(core, part_of({"of": 2}))
        others = [
            thread_of(core, part_of({"of": 3})),
            thread_of(core, part_of({"of": 2}, "something else?")),
        ]
        last = thread_of(core, part_of({"of": 2}))
        child = core.records(last, "trigger")[0]["body"]["child"]
        know = core.ended(child)
        assert know["answer"].startswith("all?") and know["answer"].count("None") == 2
        assert [len(refusals(core, one)) for one in (first, *others, last)] == [0, 1, 1, 0]
        assert "another `of`, `need` or query" in refusals(core, others[0])[0]


def test_a_join_that_was_complete_tells_whoever_comes_after(world):
    """P20: an id is for one use; those who were too many to be needed came in time."""
    with world.core() as core:
        threads = [thread_of(core, part_of({"of": 2, "need": "any"})) for _ in range(3)]
        assert [len(refusals(core, one)) for one in threads] == [0, 0, 1]
        assert "has had its 2 parts: an id is for one use" in refusals(core, threads[2])[0]
        assert core.ask(ShowQuery(threads[2]))["state"] == "ended"


def test_a_join_whose_query_does_not_hold_says_so_and_begins_with_no_more_than_its_parts(world):
    """P19, P20: whoever comes after the last part is too late, also where nothing was begun."""
    meet = then("meet", join={"id": "j", "of": 2})
    meet["query"] = {**query("one"), "input": {"record_id": "0" * 64}}
    with world.core() as core:
        threads = [
            thread_of(core, {**query("one", question=f"{n}?"), "triggers": [meet]})
            for n in range(3)
        ]
        assert [len(core.records(one, "refused")) for one in threads] == [0, 1, 0]
        (refusal,) = core.records(threads[1], "refused")
        assert "there is no record" in refusal["body"]["refused"]
        assert [len(refusals(core, one)) for one in threads] == [0, 0, 1]
        assert core.row(refusal["body"]["child"]) is None
        core.parked()


def test_a_query_that_would_be_its_own_cause_is_not_begun_and_its_run_ends(world):
    """rules §6, P20: a join that leads to itself."""
    again = then("again", "and then?", "know.answer", join={"id": "round", "of": 1})
    meet = then("meet", "once?", "know.answers", join={"id": "round", "of": 1})
    meet["query"]["triggers"] = [again, then("other", "else?")]
    with world.core() as core:
        thread = thread_of(core, {**query("one"), "triggers": [meet]})
        child = core.records(thread, "trigger")[0]["body"]["child"]
        assert core.ended(child)["status"] == "fulfilled"
        first, second = [entry["body"] for entry in core.records(child, "trigger")]
        assert "would be its own cause" in first["refused"]
        assert core.ended(second["child"])["status"] == "fulfilled"
        core.parked()


@pytest.fixture
def batches(monkeypatch):
    """The kinds of all that is stored all or none, batch by batch."""
    seen, append = [], Phylactery._append

    def appending(self, message):
        seen.extend([one.kind for one in batch] for batch in (message.records, message.then))
        return append(self, message)

    monkeypatch.setattr(Phylactery, "_append", appending)
    return seen


MEET = "meet"


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        (["next"], "know trigger intend"),
        (["next", "other"], "know trigger trigger intend intend"),
        ([MEET], "know trigger joined intend"),
        (["next", MEET], "know trigger trigger intend joined intend"),
    ],
)
def test_an_end_and_all_that_begins_with_it_are_stored_all_or_none(world, batches, names, whole):
    """P3, rules §6: with the end alone stored, nobody would ever begin the others."""
    fired = [joining(0, "any") if name == MEET else then(name) for name in names]
    with world.core() as core:
        thread = core.submit({**query("one"), "triggers": fired})["id"]
        core.ended(thread)
        for trigger in core.records(thread, "trigger"):
            core.ended(trigger["body"]["child"])
    assert [batch for batch in batches if "trigger" in batch] == [whole.split()]


def test_a_child_whose_parent_died_with_its_end_is_begun_by_the_next_core(world):
    """P3, P20: what is durable is gone on with, what is not is derived again."""
    world.held.clear()
    with world.core() as core:
        thread = core.submit({**query("one"), "triggers": [then("next")]})["id"]
        eventually(lambda: world.called, what="the call")
    world.held.set()
    with world.core() as core:
        core.ended(child_thread(thread, "next"))
        assert len(children(core, thread)) == 1


def test_a_joined_query_is_begun_after_a_crash_though_another_member_came_after_its_beginning(
    world, tmp_path
):
    """P4: what was noted beside a run says nothing of where the run stands."""
    with world.core() as core:
        threads = [
            core.submit({**query("one", question=f"{n}?"), "triggers": [joining(n, "any")]})["id"]
            for n in range(2)
        ]
        for thread in threads:
            core.ended(thread)
        child = core.records(threads[0], "trigger")[0]["body"]["child"]
        core.ended(child)
        parents = [entry for thread in threads for entry in core.records(thread)]
        begun = [entry for entry in core.records(child) if entry["kind"] in ("joined", "intend")]
    assert [entry["kind"] for entry in begun] == ["joined", "intend", "joined"]
    world.path = tmp_path / "cut.db"
    lay_down(world.path, sorted([*parents, *begun], key=lambda entry: entry["seq"]))
    with world.core() as core:
        assert core.ended(child)["status"] == "fulfilled"


@pytest.mark.parametrize("key", ['["trigger","{parent}","next"]', '["join","next"]'])
def test_a_key_that_reads_like_a_nested_run_s_name_takes_nobody_s_place(world, key):
    """P7, P20."""
    world.held.clear()
    with world.core() as core:
        parent = core.submit({**query("one"), "triggers": [then("next")]})["id"]
        taken = core.submit(query("one"), key=key.format(parent=parent))["id"]
        assert taken not in (child_thread(parent, "next"), join_thread(Join(id="next", of=2)))
        world.held.set()
        core.ended(parent)
        core.ended(child_thread(parent, "next"))


def test_a_record_that_was_purged_is_no_input(world):
    """P7: nobody is asked, and paid, about nothing."""
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        core.ended(thread)
        answer = core.records(thread, "do")[0]["id"]
        asked = query("one", input={"record_id": answer})
        assert "refused" not in core.submit(asked)
        core.parked()
        core.system.address("phylactery").ask(Purge(2**52), timeout=5.0)
        assert core.refuses(SubmitQuery(asked))["code"] == "invalid_query"
