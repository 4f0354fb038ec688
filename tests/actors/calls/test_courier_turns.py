"""One responder that hangs does not hold up the others (P8)."""

import socket
import threading

import pytest
from tests.actors import payee
from tests.actors.running import World, query

from covend.actors.messages import NewConfig
from covend.testing import eventually

CALLS = 8


@pytest.fixture
def world(tmp_path, monkeypatch, provider):
    """``slow`` hangs, and has more calls than there are places."""
    made = World(tmp_path / "store.db", monkeypatch)
    for name in ("slow", "quick"):
        made.other(name=name, kind="system", url=f"{provider.url}/{name}")
    provider.hold("slow")
    return made


def crowd(core, provider, out):
    """Twice as many calls as there are places; so many of them go out."""
    threads = [core.submit(query("slow"))["id"] for _ in range(2 * CALLS)]
    for thread in threads:
        eventually(lambda name=thread: core.records(name, "call"), what="all are called")
    eventually(lambda: len(provider.keys("slow")) >= out, what="they are out")
    return threads


def end(core, provider, threads):
    provider.let_go()
    for thread in threads:
        assert core.ended(thread)["answer"] == "from slow"


def test_a_function_does_not_wait_for_what_hangs_elsewhere(world, provider):
    """P8, P10: with one place for all there would be none for ten seconds."""
    world.scripted("sums", "42")
    with world.core(max_calls=1) as core:
        threads = crowd(core, provider, 1)
        assert core.run(query("sums"))["answer"] == "42"
        end(core, provider, threads)


def test_a_function_that_hangs_takes_the_turn_of_no_other(world):
    world.scripted("stuck", "late")
    priced = {"per_call": 0.01}  # else the run would compute it itself
    world.other(name="found", kind="pattern", function="regex:it", cost=priced)
    world.held.clear()
    with world.core(max_calls=CALLS) as core:
        threads = [core.submit(query("stuck"))["id"] for _ in range(2 * CALLS)]
        eventually(lambda: len(world.called) == 3, what="a third of the places is taken")
        assert core.run(query("found"))["answer"] == "it"
        world.held.set()
        assert {core.ended(thread)["answer"] for thread in threads} == {"late"}


def test_another_responder_of_a_host_has_its_turn_while_one_hangs(world, provider):
    with world.core(max_calls=CALLS) as core:
        threads = crowd(core, provider, 3)
        assert core.run(query("quick"))["answer"] == "from quick"
        assert len(provider.keys("slow")) == 3
        end(core, provider, threads)


@pytest.mark.parametrize("kind", ["host", "program"])
def test_who_is_elsewhere_has_its_turn_while_all_of_a_host_hangs(world, provider, kind):
    provider.hold("slow", "quick")
    with payee.serving() as another:
        where = {"url": f"{another.url}/it"} if kind == "host" else {"command": ["echo", "from it"]}
        world.other(name="it", kind="system", **where)
        with world.core(max_calls=CALLS) as core:
            threads = crowd(core, provider, 3)
            core.submit(query("quick"))
            eventually(lambda: provider.keys("quick"), what="the host has its share")
            assert core.run(query("it"))["answer"] == "from it"
            end(core, provider, threads)


def test_names_that_nobody_knows_hold_up_no_other(world, provider, monkeypatch):
    """To look one up may take half a minute, in a thread of its own."""
    known, look_up = threading.Event(), socket.getaddrinfo

    def looked_up(host, *more, **flags):
        if b"nobody" in (host if isinstance(host, bytes) else host.encode()):
            known.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return look_up(host, *more, **flags)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    port = provider.url.rpartition(":")[2]
    world.other(name="near", kind="system", url=f"http://localhost:{port}/near")
    names = [f"far-{number}" for number in range(2 * 32)]
    for name in names:
        world.other(name=name, kind="system", url=f"http://{name}.nobody.invalid/")
    with world.core(max_calls=4 * 32) as core:
        for name in names:
            core.submit(query(name))
        know = core.run(query("near", side_effects={"max_latency_secs": 5}))
        known.set()
    assert know["answer"] == "from near"


@pytest.mark.parametrize("name", ["echo", "sums"])
def test_a_machine_without_threads_for_a_call_is_asked_again(world, monkeypatch, name):
    """P12: nobody had the work, and all others go on."""
    world.other(name="echo", kind="system", command=["echo", "42"])
    world.scripted("sums", "42")
    refused, start = [], threading.Thread.start

    def full_once(self):
        if self.name.startswith(("program-", "function-")) and not refused:
            refused.append(self.name)
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", full_once)
    with world.core() as core:
        courier = core.system.find("courier")
        thread = core.submit(query(name))["id"]
        assert core.ended(thread)["answer"] == "42"
        problem = core.records(thread, "do")[0]["body"]["problem"]
        assert courier.alive
    assert problem == "RuntimeError: can't start new thread"


def test_more_places_in_the_file_are_given_out_at_once(world, provider):
    with world.core(max_calls=1) as core:
        threads = crowd(core, provider, 1)
        core.system.address("courier").tell(NewConfig(world.box(max_calls=CALLS)))
        eventually(lambda: len(provider.keys("slow")) == 3, what="more are out")
        end(core, provider, threads)
