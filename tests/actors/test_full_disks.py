"""A store that refuses for a while: who needs it asks again, and goes on as if nothing had been."""

import pytest
from tests.actors.running import World, query
from tests.actors.test_crashes_of_runs import lay_down

from covend.actors import courier, desk, timekeeper
from covend.patterns.state import INPUTS
from covend.phylactery.errors import StoreError, StoreFull
from covend.phylactery.store import Store, open_store
from covend.phylactery.views import Views
from covend.questions import ActOnTask, CancelQuery
from covend.testing import eventually

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


@pytest.mark.parametrize("number", range(2, STEPS + 1))
def test_a_run_whose_record_was_refused_is_read_back_and_goes_on(
    tmp_path, monkeypatch, full_at, number
):
    """P4, D5: nothing hangs on a record that is not there, and nobody is asked twice."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 0.05)
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("one", "short")
    world.scripted("two", "long enough")
    stages = [
        {"name": "a", "responders": [{"id": "one"}], "accept_expression": "size(answer) > 9"},
        {"name": "b", "responders": [{"id": "two"}]},
    ]
    with world.core() as core:
        seen = full_at(number)
        asked = query("one", orchestration={"pattern": "waterfall", "stages": stages})
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
def test_who_speaks_when_there_is_no_room_is_told_so(tmp_path, monkeypatch, kind):
    """P18, P19: at once, and the run goes on as soon as there is room."""
    world = World(tmp_path / "store.db", monkeypatch)
    world.person("ann")
    full, store = [], Store._store

    def refusing(self, batch, last):
        if full and batch[0].kind == kind:
            raise StoreFull("no room left")
        return store(self, batch, last)

    monkeypatch.setattr(Store, "_store", refusing)
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


def again(core, said):
    """What is told when it is said again, once its run has been read back."""
    told = core.ask(said)
    return None if told.get("refused", {}).get("status") == 503 else told
