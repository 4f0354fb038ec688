"""A store that refuses for a while: who needs it asks again, and goes on as if nothing had been."""

import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import lay_down

from covend.actors.calls import courier
from covend.actors.runs import desk, execution, timekeeper
from covend.actors.runs.desk import RUNS
from covend.actors.runs.messages import Ticked
from covend.patterns.expressions import cel
from covend.patterns.state import INPUTS
from covend.phylactery.errors import StoreError, StoreFull
from covend.phylactery.store import Store, open_store
from covend.phylactery.views import Views
from covend.questions import ActOnTask, CancelQuery, ListQueries, SubmitQuery
from covend.supervisors.backoff import Backoff
from covend.supervisors.core_tree import RUNS_SPEC
from covend.testing import eventually

MANY = 24
"""Runs whose answers come while the disk is full."""
STEPS = 6
"""The batches of a run of two stages: the query, a call, an answer, what follows, twice."""
RUN_KINDS = {*INPUTS, "call", "learn", "know"}


@pytest.fixture
def full_at(monkeypatch):
    """Leaves no room for one batch of the run, by its number, with what it follows from or alone.

    What the batches of a run say, each once, is in the list it returns.
    """

    def at(number, times=2):
        seen, refused = [], []
        original = Store._store

        def store(self, batch, last):
            says = [(entry.kind, entry.body) for entry in batch]
            if batch[0].kind in RUN_KINDS and says not in seen:
                seen.append(says)
            if len(refused) < times and says in seen and seen.index(says) == number - 1:
                refused.append(batch)
                raise StoreFull("no room left")
            return original(self, batch, last)

        monkeypatch.setattr(Store, "_store", store)
        return seen

    return at


@pytest.fixture
def refuse(monkeypatch):
    """Leaves no room for a batch whose first record is one for which this holds."""

    def where(holds):
        original = Store._store

        def store(self, batch, last):
            if holds(batch[0]):
                raise StoreFull("no room left")
            return original(self, batch, last)

        monkeypatch.setattr(Store, "_store", store)

    return where


def in_two_stages(world):
    """A query whose first stage does not stand."""
    world.scripted("one", "short")
    world.scripted("two", "long enough")
    stages = [
        {"name": "a", "responders": [{"id": "one"}], "accept_expression": "size(answer) > 9"},
        {"name": "b", "responders": [{"id": "two"}]},
    ]
    return query("one", orchestration={"pattern": "waterfall", "stages": stages})


@pytest.mark.parametrize("number", range(2, STEPS + 1))
def test_a_run_whose_record_was_refused_is_read_back_and_goes_on(
    tmp_path, monkeypatch, full_at, number
):
    """P4, D5: nothing hangs on a record that is not there, and nobody is asked twice."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 0.05)
    world = World(tmp_path / "store.db", monkeypatch)
    asked = in_two_stages(world)
    with world.core() as core:
        seen = full_at(number)
        thread = core.submit(asked)["id"]
        assert core.ended(thread)["answer"] == "long enough"
        assert len(seen) >= STEPS
    assert len(world.called) == len(set(world.called)) == 2
    store = open_store(world.path)
    try:
        assert store.verify() == []
    finally:
        store.close()


def test_a_query_is_answered_as_stored_though_there_is_no_room_for_what_follows(
    tmp_path, monkeypatch, full_at
):
    """P7: its first record is in the store, so the run goes on as soon as there is room."""
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "done")
    with world.core() as core:
        full_at(2, times=3)
        told = core.submit(query("one"))
        assert told["state"] == "open"
        assert core.ended(told["id"])["answer"] == "done"
    assert len(world.called) == 1


@pytest.fixture
def unreadable_once(monkeypatch):
    """Makes one question to the store fail, once: the first time that it is asked, or another."""

    def once(question, at=1):
        asked = []
        original = getattr(Views, question)

        def answer(self, *args, **named):
            asked.append(args)
            if len(asked) == at:
                raise StoreError("the disk does not answer")
            return original(self, *args, **named)

        monkeypatch.setattr(Views, question, answer)
        return asked

    return once


def test_runs_are_woken_although_the_store_could_not_be_read_at_first(
    tmp_path, monkeypatch, unreadable_once
):
    """P4: a core that starts beside a store in trouble still goes on with every run."""
    monkeypatch.setattr(desk, "RECOVER_SECONDS", 0.05)
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "done")
    world.held.clear()
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        world.held.set()
        core.ended(thread)
        left_open = core.records(thread)[:2]
    other = World(tmp_path / "other.db", monkeypatch)
    other.scripted("one", "done")
    lay_down(other.path, left_open)
    asked = unreadable_once("open_calls")
    with other.core() as core:
        assert core.ended(thread)["answer"] == "done"
    assert len(asked) > 1


def test_a_timer_is_told_of_although_the_store_could_not_be_read_once(
    tmp_path, monkeypatch, unreadable_once
):
    """P6, P20: nothing is due for ever because one look failed."""
    monkeypatch.setattr(timekeeper, "REPEAT_SECONDS", 0.05)
    world = World(tmp_path / "store.db", monkeypatch)
    world.person("ann")
    asked = unreadable_once("due", at=2)
    with world.core() as core:
        slow = query("ann", side_effects={"max_latency_secs": 1.0})
        thread = core.submit(slow)["id"]
        assert core.ended(thread)["status"] == "error"
    assert len(asked) > 2


@pytest.mark.parametrize("kind", ["do", "cancel"])
def test_who_speaks_when_there_is_no_room_is_told_so(tmp_path, monkeypatch, kind, refuse):
    """P18, P19: at once, and the run goes on as soon as there is room."""
    world = World(tmp_path / "store.db", monkeypatch)
    world.person("ann")
    full = []
    refuse(lambda first: full and first.kind == kind)
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        said = CancelQuery(thread)
        if kind == "do":
            said = ActOnTask(task["id"], "submit", "did:ann", value="mine")
        full.append(kind)
        assert core.refuses(said)["code"] == "not_stored"
        full.clear()
        assert "refused" not in eventually(lambda: again(core, said), what="room once more")
        core.ended(thread)


def test_a_query_for_which_there_is_no_room_at_all_is_refused_and_may_come_again(
    tmp_path, monkeypatch
):
    """D2, P7: what is acknowledged is stored; a real store that cannot grow by a page."""
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "done")
    large = query("one", question="Why? " * 10_000)
    with world.core() as core:
        core.run(query("one"))
    with closing(sqlite3.connect(world.path)) as db:
        (world.max_pages,) = db.execute("PRAGMA page_count").fetchone()
    with world.core() as core:
        told = core.refuses(SubmitQuery(large, "k"))
        assert (told["status"], told["code"]) == (503, "not_stored")
        core.parked()
    world.max_pages = None
    with world.core() as core:
        core.run(large, "k")
        assert len(core.ask(ListQueries())["queries"]) == 2


def test_a_disk_that_is_full_for_many_runs_ends_none_of_them_nor_the_core(
    tmp_path, monkeypatch, waiting, refuse
):
    """S2, S7: their answers are said again until there is room, and nobody is asked twice."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 0.05)
    monkeypatch.setattr(execution, "AGAIN", Backoff(base=0.01, maximum=0.05))
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "done")
    world.held.clear()
    full, refused = [True], Counter()

    def is_refused(first):
        refused[first.thread] += bool(full) and first.kind == "do"
        return full and first.kind == "do"

    refuse(is_refused)
    with world.core(max_calls=MANY) as core:
        threads = [core.submit(query("one"))["id"] for _ in range(MANY)]
        before = {name: core.system.find(name) for name in (RUNS, *threads)}
        world.held.set()
        often = 1 + RUNS_SPEC.intensity // MANY
        eventually(
            lambda: len(refused) == MANY and min(refused.values()) > often,
            20,
            "every run is refused more often than its supervisor takes deaths",
        )
        assert {name: core.system.find(name) for name in before} == before
        full.clear()
        assert {core.ended(thread, 20)["answer"] for thread in threads} == {"done"}
    assert len(world.called) == len(set(world.called)) == MANY


class Waits:
    """In place of ``execution.AGAIN``: the same wait always, and which one of how many it was."""

    def __init__(self, seconds):
        self.seconds, self.times = seconds, []

    def delay(self, times, _):
        self.times.append(times)
        return self.seconds


@pytest.fixture
def waiting(monkeypatch):
    """Has a run that the store refused wait so long, and remember how often."""

    def each(seconds):
        waits = Waits(seconds)
        monkeypatch.setattr(execution, "AGAIN", waits)
        return waits

    return each


def test_nothing_of_a_query_that_was_refused_is_left_behind(tmp_path, monkeypatch, waiting, refuse):
    """P3: what comes for it later is nothing to go on from, nor anything to store."""
    waits = waiting(0.01)
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "done")
    full = ["intend"]
    refuse(lambda first: first.kind in full)
    with world.core() as core:
        assert core.refuses(SubmitQuery(query("one"), "k"))["code"] == "not_stored"
        full.clear()
        thread = desk.named("k", 0)
        core.desk.tell(Ticked(thread, "nothing", 1))
        core.parked()
        assert core.records(thread) == []
    assert waits.times == world.called == []


def test_a_run_is_read_back_ever_later_until_something_of_it_was_stored(
    tmp_path, monkeypatch, waiting, refuse
):
    """S7: what was refused long ago does not count."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 0.02)
    waits = waiting(0.01)
    world = World(tmp_path / "store.db", monkeypatch)
    asked = in_two_stages(world)
    until = {"stage:0/0": 3, "stage:1/0": 5}
    refuse(lambda first: first.kind == "do" and len(waits.times) < until[first.body["slot"]])
    with world.core() as core:
        core.run(asked)
    assert waits.times == [0, 1, 2, 0, 1]


def test_a_run_that_is_to_be_read_back_refuses_what_it_hears_until_then(
    tmp_path, monkeypatch, waiting, refuse
):
    """P3, P18: nobody is kept waiting, and nothing is told of what is not known to be stored."""
    waits = waiting(60.0)
    world = World(tmp_path / "store.db", monkeypatch)
    world.person("ann")
    full = ["do"]
    refuse(lambda first: first.kind in full)
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        said = ActOnTask(core.task("did:ann")["id"], "submit", "did:ann", value="mine")
        assert core.refuses(said)["code"] == "not_stored"
        full.clear()
        assert core.refuses(said)["code"] == "not_stored"
        assert core.refuses(CancelQuery(thread))["code"] == "not_stored"
        assert core.executions() == [thread]
        assert core.row(thread)["state"] == "open"
    assert waits.times == [0]


def test_a_run_that_is_to_be_read_back_is_not_put_to_rest_before(
    tmp_path, monkeypatch, waiting, refuse
):
    """P6: it was idle a moment ago, but nobody else knows that it has to go on."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 60.0)
    monkeypatch.setattr(execution, "IDLE_SECONDS", 0.3)
    waits = waiting(0.6)
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "done")
    refuse(lambda first: first.kind == "do" and not waits.times)
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        assert core.ended(thread)["answer"] == "done"
    assert waits.times == [0]


def again(core, said):
    """What is told when it is said again, once its run has been read back."""
    told = core.ask(said)
    return None if told.get("refused", {}).get("status") == 503 else told


def test_memory_that_runs_out_sets_no_run_aside(tmp_path, monkeypatch):
    """P2: nothing is wrong with its records; it is read back, and folded then."""
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "a long answer")
    program, failed = cel._program, []

    def once(*given):
        if not failed:
            failed.append(given)
            raise MemoryError("std::bad_alloc")
        return program(*given)

    monkeypatch.setattr(cel, "_program", once)
    stages = [{"name": "a", "responders": [{"id": "one"}], "accept_expression": "size(answer) > 9"}]
    with world.core() as core:
        pattern = {"pattern": "waterfall", "stages": stages}
        assert core.run(query("one", orchestration=pattern))["status"] == "fulfilled"
    assert failed
