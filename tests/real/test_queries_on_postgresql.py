"""Queries whose records are on a real PostgreSQL server, over its restarts and the core's (D3)."""

import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import answer, patterns

from covend.phylactery.store import open_store
from covend.testing import eventually
from covend.testing.postgresql import PostgresServer, programs

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        programs() is None,
        reason="LEFT OUT: PostgreSQL is not installed (make test-real installs it)",
    ),
]


@pytest.fixture
def server():
    with PostgresServer() as server:
        yield server


@pytest.fixture
def world(server, monkeypatch):
    world = World(server.dsn(), monkeypatch)
    world.model = answer
    return world


def sound(server):
    store = open_store(server.dsn(), read_only=True)
    try:
        assert store.verify() == []
    finally:
        store.close()


def test_each_pattern_comes_to_its_end(world, server):
    """D3, D5: and every projection is what the records say."""
    with world.core() as core:
        for name, orchestration in patterns().items():
            end = core.run(query("model:a", orchestration=orchestration))
            assert end["status"] in ("fulfilled", "degraded"), (name, end)
    sound(server)


def test_a_parked_run_outlives_the_core_and_the_server(world, server):
    """P4, P6: a person's answer comes after both were started again."""
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        core.task("did:ann")
    server.crash()
    server.start()
    with world.core() as core:
        core.act(core.task("did:ann"), "submit", value="yes")
        assert core.ended(thread)["answer"] == "yes"
        assert [entry["kind"] for entry in core.records(thread)] == ["intend", "call", "do", "know"]
    sound(server)


def test_a_server_that_crashes_under_a_run_is_waited_for(world, server):
    """D2, P4: what was acknowledged is there, what was not is done again, once."""
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        server.crash()
        server.start()
        eventually(lambda: acts(core, task), 30, "the store is back")
        assert core.ended(thread, 30)["answer"] == "yes"
    sound(server)


def acts(core, task):
    try:
        told = core.act(task, "submit", value="yes")
    except Exception:  # the core answers as it can while its store is away
        return False
    return "refused" not in told or told["refused"]["status"] == 409
