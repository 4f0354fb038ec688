"""Threads that are used again."""

import threading
import weakref

import pytest

from covend.runtime import workers
from covend.runtime.workers import Workers
from covend.testing import eventually


@pytest.fixture
def pool():
    made = Workers()
    yield made
    made.close(5.0)


def idle(pool):
    return len(pool._idle)


def ran(pool, name="work"):
    """Runs something; the thread it was in, once that is idle."""
    found = []
    pool.run(lambda: found.append(threading.current_thread()), name)
    eventually(lambda: idle(pool) == 1, what="the thread is idle")
    return found[0]


def test_a_thread_is_used_again_under_the_name_of_its_work(pool):
    """Only what runs at the same time needs threads of its own."""
    assert ran(pool) is ran(pool)
    names = []
    pool.run(lambda: names.append(threading.current_thread().name), "a name")
    eventually(lambda: names == ["a name"], what="the work")
    eventually(lambda: idle(pool) == 1, what="the thread is idle")
    assert pool._idle[0].thread.name == "idle"


def test_work_that_does_not_end_holds_up_no_other(pool):
    """Nothing waits for its turn."""
    go_on, done = threading.Event(), threading.Event()
    for _ in range(20):
        pool.run(lambda: go_on.wait(10), "stuck")
    pool.run(done.set, "quick")
    assert done.wait(5)
    go_on.set()
    eventually(lambda: idle(pool) == 21, what="all are idle")


def test_more_idle_threads_than_anybody_needs_end(pool, monkeypatch):
    monkeypatch.setattr(workers, "MOST_IDLE", 1)
    go_on = threading.Event()
    threads = [pool.run(lambda: go_on.wait(10), "one of many") for _ in range(5)]
    go_on.set()
    eventually(lambda: sum(thread.is_alive() for thread in threads) == 1, what="one is left")


def test_a_thread_that_nobody_needs_ends(pool, monkeypatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.01)
    thread = pool.run(lambda: None, "work")
    thread.join(5)
    assert not thread.is_alive() and idle(pool) == 0


def test_work_is_never_lost_between_an_idle_thread_and_its_end(pool, monkeypatch):
    """A thread that is chosen when it gives up waiting does the work nevertheless."""
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.0005)
    pause, done = threading.Event(), []
    for number in range(300):
        pool.run(lambda number=number: done.append(number), "work")
        pause.wait(0.0005)
    eventually(lambda: sorted(done) == list(range(300)), what="all work")


def test_an_idle_thread_keeps_nothing_of_its_last_work(pool):
    class Large:
        def work(self):
            pass

    large = Large()
    gone = weakref.ref(large)
    pool.run(large.work, "work")
    del large
    eventually(lambda: gone() is None, what="it is collected")


def test_closing_ends_idle_threads_at_once_and_busy_ones_after_their_work(pool):
    idler = ran(pool)
    go_on, begun = threading.Event(), threading.Event()
    busy = [pool.run(lambda: (begun.set(), go_on.wait(10)), "busy") for _ in range(2)]
    assert begun.wait(5)
    assert idler in busy
    pool.close(5.0)
    go_on.set()
    for thread in busy:
        thread.join(5)
        assert not thread.is_alive()


def test_the_stack_has_the_size_that_was_asked_for(monkeypatch):
    """And the interpreter's own setting is as before."""
    sizes, real, before = [], threading.stack_size, threading.stack_size()
    monkeypatch.setattr(threading, "stack_size", lambda size: sizes.append(size) or real(size))
    small = Workers(256 * 1024)
    small.run(lambda: None, "work").join(0.1)
    small.close(5.0)
    assert sizes == [256 * 1024, before] and real() == before
