"""One responder that hangs does not hold up the others (P8)."""

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
    world.other(name="found", kind="pattern", function="regex:it")
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


def test_more_places_in_the_file_are_given_out_at_once(world, provider):
    with world.core(max_calls=1) as core:
        threads = crowd(core, provider, 1)
        core.system.address("courier").tell(NewConfig(world.box(max_calls=CALLS)))
        eventually(lambda: len(provider.keys("slow")) == 3, what="more are out")
        end(core, provider, threads)
