"""A store that answers too late: who asked is refused, and nobody dies of it."""

import threading

import pytest
from tests.actors.running import World

from covend.actors import asking_store
from covend.actors.runs.messages import Look
from covend.phylactery import actor as phylactery
from covend.phylactery.messages import Due, Thread
from covend.questions import ActOnTask, CancelQuery, EndOf, ShowQuery
from covend.testing import eventually


@pytest.fixture
def core(tmp_path):
    with World(tmp_path / "store.db", pytest.MonkeyPatch()).core() as core:
        yield core


@pytest.fixture
def stuck(monkeypatch):
    """Has reads of these kinds last until it is released, which is longer than anybody waits."""
    read, released = phylactery._read, threading.Event()

    def reading(store, question):
        if isinstance(question, stuck.kinds):
            stuck.reached.set()
            assert released.wait(10)
        return read(store, question)

    class stuck:
        kinds = ()
        reached = threading.Event()
        release = released.set

    monkeypatch.setattr(phylactery, "_read", reading)
    monkeypatch.setattr(asking_store.ask_store, "__defaults__", (0.2,))
    return stuck


@pytest.mark.parametrize(
    "order",
    [
        ShowQuery("q-0"),
        EndOf("q-0"),
        CancelQuery("q-0"),
        ActOnTask("q-0~primary~0~1", "accept", "x"),
    ],
    ids=lambda order: type(order).__name__,
)
def test_who_asks_a_slow_store_is_refused_and_the_desk_lives(core, stuck, order):
    """P6: every run would have to be read back if the desk died of it."""
    desk = core.system.find("desk")
    stuck.kinds = (Thread,)
    assert (core.refuses(order)["status"], core.refuses(order)["code"]) == (503, "not_read")
    stuck.release()
    eventually(lambda: core.refuses(order)["status"] == 404, 10, "the store can be read again")
    assert core.system.find("desk") is desk


def test_the_timekeeper_looks_again_when_the_store_was_slow(core, stuck):
    """P6: a look that came to nothing is no end of all looks."""
    keeper = core.system.find("timekeeper")
    stuck.kinds = (Due,)
    core.timekeeper.tell(Look())
    assert stuck.reached.wait(10)
    stuck.release()
    assert core.timekeeper.ask(None, timeout=10) is None
    assert core.system.find("timekeeper") is keeper
