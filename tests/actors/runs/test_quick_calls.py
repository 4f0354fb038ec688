"""Calls that a run answers itself, for they are quick, free and have no effect (P3, P4)."""

import pytest
from tests.actors.running import World, query

from covend import functions
from covend.actors.runs import quick
from covend.actors.runs.commits import Commits
from covend.actors.runs.execution import Execution
from covend.actors.runs.messages import Rouse, Routed
from covend.patterns import step
from covend.questions import CancelQuery, ShowQuery
from covend.runtime import MailboxSpec, ReplyError
from covend.testing import eventually

THREE = {
    "pattern": "waterfall",
    "stages": [{"name": name, "responders": [{"id": name}]} for name in ("a", "b", "c")],
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """In which a scripted function is one that is surely done soon."""
    monkeypatch.setattr(functions, "is_quick", lambda name, asked: name.startswith("scripted:"))
    return World(tmp_path / "store.db", monkeypatch)


def calls(core, thread):
    return [entry["body"]["slot"] for entry in core.records(thread, "call")]


def messages(core):
    return {entry.message for entry in core.system.trace.snapshot()}


def cancel(core, asked):
    """Cancel the run that is computing, and see its cancel wait."""
    thread = asked["key"].partition("/")[0]
    core.desk.tell(CancelQuery(thread))
    run = core.system.find(thread)
    eventually(lambda: len(run.cell.mailbox), what="the cancel waits")


def test_the_courier_hears_nothing_of_what_is_quick_and_free(world):
    """P3: the same records as of any other call."""
    world.scripted("it", "an answer")
    with world.core() as core:
        thread = core.submit(query("it"))["id"]
        assert core.ended(thread)["answer"] == "an answer"
        kinds = [entry["kind"] for entry in core.records(thread)]
        assert not {"Dispatch", "Recorded"} & messages(core)
    assert kinds == ["intend", "call", "do", "know"]


def test_what_costs_money_or_may_take_long_is_carried_out_by_the_courier(world, monkeypatch):
    """P12: whoever is left to finish is billed."""
    world.scripted("paid", "dear", cost={"per_call": 0.01})
    with world.core() as core:
        assert core.run(query("paid"))["answer"] == "dear"
        assert "Dispatch" in messages(core)
    monkeypatch.setattr(functions, "is_quick", lambda name, asked: False)
    world.scripted("slow", "late")
    with world.core() as core:
        assert core.run(query("slow"))["answer"] == "late"
        assert "Dispatch" in messages(core)


def test_a_function_that_raises_or_has_no_answer_is_heard_of_like_any_other(world):
    """P19."""
    world.scripted("a", ZeroDivisionError("by zero"))
    world.scripted("b", functions.Declined("nothing to add"))
    world.scripted("c", "an answer")
    with world.core() as core:
        thread = core.submit(query("a", orchestration=THREE))["id"]
        assert core.ended(thread)["answer"] == "an answer"
        done = [entry["body"] for entry in core.records(thread, "do")]
    assert [one["status"] for one in done] == ["error", "declined", "ok"]
    assert [one.get("problem") for one in done[:2]] == [
        "ZeroDivisionError: by zero",
        "nothing to add",
    ]


def test_whoever_says_something_meanwhile_is_heard_before_the_next_is_computed(world):
    """P14: a cancel between two calls is no later for how fast they follow each other."""
    cores = []

    def cancelled(asked):
        cancel(cores[0], asked)
        raise functions.Declined("not me")

    world.scripted("a", cancelled)
    world.scripted("b", "an answer")
    world.scripted("c", "another")
    with world.core() as core:
        cores.append(core)
        thread = core.submit(query("a", orchestration=THREE))["id"]
        assert core.ended(thread)["status"] == "cancelled"
        assert calls(core, thread) == ["stage:0/0", "stage:1/0"]
        assert len(world.called) == 1
        assert "GoOn" in messages(core)


def test_a_run_that_lost_what_it_knew_meanwhile_reads_its_records_back(world, monkeypatch):
    """P3: the store refuses what is said between two calls, and takes it when it is said again."""
    cores = []

    def cancelled(asked):
        cancel(cores[0], asked)
        return "an answer"

    def refuses_cancels(self, records, then=()):
        if any(one.kind == "cancel" for one in records):
            raise ReplyError("not stored: no room left")
        return real(self, records, then)

    real = Commits.store
    monkeypatch.setattr(Commits, "store", refuses_cancels)
    world.scripted("a", cancelled)
    world.scripted("b", "another")
    with world.core() as core:
        cores.append(core)
        thread = core.submit(query("a", "b", relevance={"top_k": 2}))["id"]
        assert core.ended(thread)["status"] == "fulfilled"
    assert len(world.called) == 2


def test_a_run_that_is_set_aside_between_two_calls_computes_no_more(world, monkeypatch):
    """P2: nothing is added to its records, and the operator is told once."""
    for name in ("a", "b"):
        world.scripted(name, "an answer")

    def failing(k, entry):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(step, "take", failing)
    with world.core() as core:
        thread = core.submit(query("a", "b", relevance={"top_k": 2}))["id"]
        eventually(lambda: core.ask(ShowQuery(thread))["set_aside"], what="it is set aside")
        core.parked()
        kinds = [entry["kind"] for entry in core.records(thread)]
        alerts = [one.text for one in core.alerts() if thread in one.text]
    assert kinds == ["intend", "call", "call", "do", "quarantine"]
    assert len(world.called) == len(alerts) == 1


def test_a_run_whose_mailbox_is_full_hears_all_of_it_and_computes_on(world, monkeypatch, caplog):
    """S11: it does not die of what it has to say to itself, and loses nothing that was said."""
    monkeypatch.setattr(Execution, "mailbox", MailboxSpec(bound=2, policy="reject"))
    cores = []

    def crowded(asked):
        run = cores[0].system.find(asked["key"].partition("/")[0])
        while not run.cell.mailbox.work:
            run.tell(Routed(1, Rouse()))
            run.tell(Routed(1, Rouse()))
        return "an answer"

    world.scripted("a", crowded)
    world.scripted("b", "another")
    with world.core() as core:
        cores.append(core)
        thread = core.submit(query("a", "b", relevance={"top_k": 2}))["id"]
        assert core.ended(thread)["status"] == "fulfilled"
    assert len(world.called) == 2
    assert "failed" not in caplog.text


def test_what_is_overdue_is_not_computed_any_more(world):
    """P10: the late answer to the first shows that time is over for the second."""
    for name in ("a", "b"):
        world.scripted(name, lambda asked: world.clock.forward(1000))
    with world.core() as core:
        thread = core.submit(query("a", "b", relevance={"top_k": 2}))["id"]
        assert core.ended(thread)["code"] == "latency_timeout"
        assert len(calls(core, thread)) == 2
    assert len(world.called) == 1


@pytest.mark.parametrize("policy", ["redispatch", "fail", "ask"])
def test_a_run_that_dies_while_it_computes_computes_again(world, monkeypatch, policy):
    """P4: nothing is in doubt, whatever the query says of work that may have been done."""
    world.scripted("it", "an answer", idempotent=False)
    real, times = quick.answer, []

    def dies_once(k, call, now):
        times.append(call["key"])
        if len(times) == 1:
            raise RuntimeError("the run fails")
        return real(k, call, now)

    monkeypatch.setattr(quick, "answer", dies_once)
    with world.core() as core:
        thread = core.submit(query("it", on_indeterminate=policy))["id"]
        assert core.ended(thread)["answer"] == "an answer"
        assert len(core.records(thread, "call")) == 1
    assert len(times) == 2


def test_what_was_open_when_the_core_died_is_computed_by_the_next_one(world, monkeypatch):
    """P4."""
    world.scripted("it", "an answer")
    with monkeypatch.context() as patch:
        patch.setattr(Execution, "compute", lambda self: None)
        with world.core() as core:
            thread = core.submit(query("it"))["id"]
            eventually(lambda: core.records(thread, "call"), what="it is called")
    with world.core() as core:
        assert core.ended(thread)["answer"] == "an answer"
        assert [entry["kind"] for entry in core.records(thread)] == ["intend", "call", "do", "know"]
