"""A run that another build of covend set aside is tried again by this one (P2, P5)."""

import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import lay_down

import covend
from covend.patterns import step
from covend.questions import ActOnTask, CancelQuery, ShowQuery

LATE = 8 * 86_400
"""Seconds after which a query without a limit of its own has ended."""


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "store.db", monkeypatch)
    world.person("ann")
    world.person("ben")
    return world


def waiting(world, person):
    """A run that waits for this person, and nothing of it is in memory any more."""
    with world.core() as core:
        thread = core.submit(query(person))["id"]
        core.task(f"did:{person}")
        core.parked()
    return thread


def given_up(world, thread, version):
    """What is stored where this version of covend could not go on with a run."""
    body = {"thread": thread, "reason": "ValueError: unknown", "covend": version}
    entry = {"thread": thread, "kind": "quarantine", "body": body, "actor": "execution",
             "act": "LEARN", "clock": 1, "parents": []}  # fmt: skip
    lay_down(world.path, [entry])


def test_a_run_that_another_build_set_aside_goes_on_by_its_timers(world):
    """P2, P5: what another build could not read, this one may be able to."""
    thread = waiting(world, "ann")
    given_up(world, thread, "0.0.1")
    with world.core() as core:
        core.forward(LATE)
        assert core.ask(ShowQuery(thread))["set_aside"] is None
        assert core.ended(thread)["code"] == "latency_timeout"


def test_a_run_that_this_build_set_aside_is_not_woken_by_its_timers(world):
    """P2: it would be given up for the same reason again."""
    thread, other = waiting(world, "ann"), waiting(world, "ben")
    given_up(world, thread, covend.__version__)
    with world.core() as core:
        core.forward(LATE)
        assert core.ended(other)["code"] == "latency_timeout"
        shown = core.ask(ShowQuery(thread))
        assert (shown["state"], shown["set_aside"]) == ("open", "ValueError: unknown")


@pytest.mark.parametrize("what", ["cancel", "accept"])
def test_whose_word_sets_a_run_aside_is_told_so(world, monkeypatch, what):
    """P2: what was said is durable, but nothing follows from it here."""
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")

        def failing(k, entry):
            raise RuntimeError("a mistake of ours")

        monkeypatch.setattr(step, "take", failing)
        order = CancelQuery(thread) if what == "cancel" else ActOnTask(
            task["id"], "accept", "did:ann", eta_secs=60.0
        )  # fmt: skip
        refused = core.refuses(order)
        assert (refused["status"], refused["code"]) == (409, "set_aside")
