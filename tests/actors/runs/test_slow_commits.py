"""A commit that takes longer than anybody waits for it: what it stored is found, and goes on."""

import threading

import pytest
from tests.actors.running import World, query

from covend.actors.asking_store import ask_store
from covend.actors.runs import commits, execution, opening
from covend.actors.runs.execution import Execution
from covend.phylactery.store import Store


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path / "store.db", monkeypatch)


@pytest.fixture
def slow(monkeypatch):
    """Has the first commit with a record of this kind last until its run has given up on it."""
    given_up = threading.Event()
    lose, store = Execution.lose, Store._store

    def losing(self, why):
        given_up.set()
        lose(self, why)

    def storing(self, batch, last):
        if any(entry.kind == slow.kind for entry in batch):
            slow.kind = None
            assert given_up.wait(10)
        return store(self, batch, last)

    def impatient(ctx, question):
        return ask_store(ctx, question, 0.3 if ctx.name.startswith("q-") else 10)

    def slow(kind):
        slow.kind = kind
        for asking in (commits, execution, opening):
            monkeypatch.setattr(asking, "ask_store", impatient)
        monkeypatch.setattr(commits, "STORE_SECONDS", 0.3)
        monkeypatch.setattr(Execution, "lose", losing)
        monkeypatch.setattr(Store, "_store", storing)

    return slow


@pytest.mark.parametrize("kind", ["intend", "do", "know"])
def test_a_run_whose_commit_took_too_long_is_read_back_and_goes_on(world, slow, kind):
    """P4: it is not known what became of it until the store says so, and nobody is asked twice."""
    world.scripted("one", "an answer")
    with world.core() as core:
        slow(kind)
        told = core.submit(query("one"), "k")
        if kind == "intend":
            assert told["refused"]["status"] == 503
            told = core.submit(query("one"), "k")
        assert core.ended(told["id"])["answer"] == "an answer"
        kinds = [entry["kind"] for entry in core.records(told["id"])]
    assert kinds == ["intend", "call", "do", "know"]
    assert len(world.called) == 1


def test_a_run_that_was_begun_by_a_commit_that_took_too_long_goes_on(world, slow):
    """P4, P7: at once, and not when the core is started again."""
    world.scripted("one", "an answer")
    world.scripted("two", "another")
    with world.core() as core:
        slow("trigger")
        thread = core.submit(query("one", triggers=[{"name": "next", "query": query("two")}]))
        core.ended(thread["id"])
        (trigger,) = core.records(thread["id"], "trigger")
        assert core.ended(trigger["body"]["child"])["answer"] == "another"
    assert len(world.called) == 2
