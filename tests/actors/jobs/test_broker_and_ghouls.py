"""Jobs from submission to their end: the broker and its ghouls on a simulated system (S17)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.jobs.working import EVERY, STEPS, Calls, Stage
from tests.actors.stage import Ear, heard, small_box

from covend.actors.admission.catalog import Catalog
from covend.actors.jobs import ghoul as ghoul_module
from covend.actors.jobs.broker import Broker
from covend.actors.jobs.ghoul import Ghoul
from covend.actors.messages import (
    BrokerStarted,
    CapabilitiesOpen,
    DrainGhouls,
    Reopen,
    Snapshot,
)
from covend.protocol import (
    Drained,
    GhoulHello,
    Job,
    ParkJob,
    RunJob,
    SignalsChanged,
    Step,
    StepDone,
)
from covend.runtime import ReplyError, SimSystem
from covend.testing.simulation import schedules


def test_a_job_runs_step_by_step_and_each_result_is_durable(stage):
    """P3's habit: the record comes before the next step."""
    stage.submit()
    stage.calls.end_all(stage.system)
    assert stage.show()["status"] == "done"
    assert stage.calls.begun == ["j/0", "j/1", "j/2"]
    assert [entry["act"] for entry in stage.records] == ["INTEND", "DO", "DO", "DO", "KNOW"]


def test_a_job_that_cannot_be_served_or_has_no_steps_is_refused_with_what_would_be_right(stage):
    """X6."""
    with pytest.raises(ReplyError, match="this box serves: a, b, ext, small"):
        stage.submit(capability="nothing")
    with pytest.raises(ReplyError, match="at least one step"):
        stage.submit(steps=0)
    with pytest.raises(ReplyError, match="no job 'z'"):
        stage.show("z")


def test_a_job_that_nobody_works_on_is_demand(stage):
    """W9: the whim sees queued work as it sees a waiting client."""
    stage.broker.tell(CapabilitiesOpen(frozenset(), frozenset()))
    stage.submit()
    stage.system.advance(0.05)
    (news,) = heard(stage.dispatcher, SignalsChanged)
    assert [(n.id, n.capability, n.klass) for n in news.added] == [("job:j", "a", "ritual")]
    stage.broker.tell(CapabilitiesOpen(EVERY, frozenset()))
    stage.system.advance(0.1)
    assert heard(stage.dispatcher, SignalsChanged)[-1].removed == ["job:j"]


def test_a_drain_parks_a_job_after_its_step_and_it_goes_on_from_there(stage):
    """S17, W20."""
    stage.submit()
    stage.system.advance(0.05)
    stage.drain(epoch=4)
    assert stage.drained() == []
    stage.calls.end_one()
    stage.system.advance(0.05)
    assert stage.drained() == [(4, {"j": 1})]
    assert stage.broker.ask(Snapshot(), timeout=1.0)["parked"] == 1
    stage.broker.tell(CapabilitiesOpen(EVERY, frozenset()))
    stage.calls.end_all(stage.system)
    assert stage.calls.begun == ["j/0", "j/1", "j/2"] and stage.show()["parked"] == 1


def test_a_drain_with_no_job_on_it_is_over_at_once(stage):
    """W20: who is idle or works elsewhere holds no slot."""
    stage.submit(capability="b")
    stage.system.advance(0.05)
    stage.drain(epoch=2)
    assert stage.drained() == [(2, {})]


def test_a_drain_that_is_called_off_is_never_confirmed(stage):
    """W21."""
    stage.submit()
    stage.system.advance(0.05)
    stage.drain(epoch=2)
    stage.broker.tell(Reopen(2))
    stage.calls.end_all(stage.system)
    assert stage.drained() == []


def test_a_dominated_job_gives_its_slot_away(stage):
    """W14: parked at its next atomic step; the coven stays."""
    stage.submit()
    stage.system.advance(0.05)
    stage.broker.tell(CapabilitiesOpen(EVERY, frozenset({"a", "small"})))
    stage.system.advance(0.05)
    stage.calls.end_one()
    stage.system.advance(0.5)
    assert stage.calls.open == [] and stage.show()["status"] == "queued"


def test_one_dominated_job_at_a_time_gives_its_slot_away(calls):
    """W14: one slot may be all that is wanted."""
    with SimSystem(node="core") as system:
        stage = Stage(system, calls, ghouls=2)
        for name in ("j0", "j1"):
            stage.submit(name)
        stage.broker.tell(CapabilitiesOpen(EVERY, frozenset({"a"})))
        stage.system.advance(2.0)
        assert sorted(stage.show(job)["status"] for job in ("j0", "j1")) == ["parking", "running"]


def test_a_silent_ghoul_loses_its_job_to_another_and_its_drain_is_over(stage):
    """S8: what it says later is stale."""
    stage.submit()
    stage.system.advance(0.05)
    old = stage.system.find("ghoul-0")
    stage.drain(epoch=3)
    old.stop()
    stage.system.advance(8.0)
    assert stage.drained() == [(3, {})] and stage.show()["status"] == "queued"
    stage.system.spawn(Ghoul, "http://127.0.0.1:1", "ghoul-9@core", name="ghoul-9")
    stage.broker.tell(CapabilitiesOpen(EVERY, frozenset()))
    stage.system.advance(1.5)
    assert stage.show()["ghoul"] == "ghoul-9"
    assert not stage.broker.ask(StepDone("ghoul-0", 1, "j", 0, {}), timeout=1.0)


def test_a_ghoul_that_was_started_again_ends_the_drain_it_never_heard_of(stage):
    """W20: its hello says that it has no job."""
    stage.submit()
    stage.system.advance(3.0)
    stage.drain(epoch=3)
    ghoul = stage.system.find("ghoul-0")
    ghoul.stop()
    stage.system.join(ghoul)
    stage.system.spawn(Ghoul, "http://127.0.0.1:1", "ghoul-0@core", name="ghoul-0")
    stage.system.advance(0.5)
    assert stage.drained() == [(3, {})]


def test_a_new_broker_goes_on_where_the_last_one_was_and_no_recorded_step_is_made_again(stage):
    """S6, P4: jobs are read back from their records."""
    stage.submit()
    stage.system.advance(0.05)
    stage.calls.end_one()
    stage.system.advance(0.05)
    stage.broker.stop()
    stage.system.join(stage.broker)
    stage.calls.end_one()  # the broker is away: the ghoul reports until somebody answers
    stage.system.advance(1.0)
    stage.start_broker()
    stage.calls.end_all(stage.system)
    stage.system.advance(5.0)
    stage.calls.end_all(stage.system)
    assert stage.show()["status"] == "done" and stage.show()["done"] == STEPS
    assert stage.calls.begun == ["j/0", "j/1", "j/2"]


def test_a_new_broker_says_so_before_it_tells_of_its_jobs(stage):
    """S8: so that the dispatcher takes these for all that wait, and says what is open."""
    stage.broker.tell(CapabilitiesOpen(frozenset(), frozenset()))
    stage.submit()
    stage.system.advance(0.05)
    stage.broker.stop()
    stage.system.join(stage.broker)
    stage.dispatcher.clear()
    stage.system.spawn(Broker, Catalog(small_box()), name="broker")
    stage.system.advance(1.5)
    first, news = stage.dispatcher[:2]
    assert isinstance(first, BrokerStarted)
    assert [note.id for note in news.added] == ["job:j"]


def test_a_step_the_gate_refuses_is_given_back_and_one_that_fails_ends_the_job(stage):
    """W20: refused means nothing was done."""
    stage.calls.answers["j/0"] = {"refused": "503"}
    stage.submit()
    stage.system.advance(0.05)
    stage.calls.answers["j/0"], first = {"error": "HTTP 400"}, stage.calls.open.pop(0)
    stage.calls.answers["j/0"], error = {"refused": "503"}, stage.calls.answers["j/0"]
    first()
    stage.calls.answers["j/0"] = error
    stage.calls.end_all(stage.system)
    assert stage.show()["status"] == "failed" and stage.show()["error"] == "HTTP 400"
    assert stage.show()["parked"] == 1


@pytest.mark.parametrize(("begun", "status"), [(True, "failed"), (False, "done")])
def test_a_step_that_its_soulstone_dies_of_every_time_ends_its_job(stage, begun, status):
    """It would die for ever; to be refused, however often, harms nobody."""
    stage.calls.answers["j/0"] = {"refused": "502: died", "begun": begun}
    stage.submit(steps=1)
    for _ in range(ghoul_module.MOST_BROKEN_OFF):
        stage.system.advance(0.1)
        stage.calls.end_one()
    stage.calls.answers.clear()
    stage.calls.end_all(stage.system)
    assert stage.show()["status"] == status
    if begun:
        assert stage.show()["error"] == "step 0: it broke off 5 times: 502: died"


def test_a_confirmation_of_an_older_order_takes_no_new_job_away(stage):
    """S17: what a ghoul puts down is named; an empty confirmation crossed something else."""
    stage.submit()
    stage.system.advance(0.05)
    stage.broker.tell(Drained(1, "ghoul-0", 0, {}))
    stage.broker.tell(Drained(1, "ghoul-0", 0, {"another": 1}))
    stage.system.advance(0.05)
    assert stage.show()["status"] == "running"


def test_a_hello_that_crossed_its_order_does_not_hand_the_job_out_twice(stage):
    """P4: nobody pays for a step twice."""
    stage.submit()
    stage.system.advance(0.05)
    stage.broker.tell(GhoulHello("ghoul-0", "ghoul-0@core", 0, None))
    stage.calls.end_all(stage.system)
    assert stage.calls.begun == ["j/0", "j/1", "j/2"]


def test_an_idle_ghoul_confirms_at_once_and_drops_orders_of_an_older_epoch(calls):
    """S17, S8."""
    with SimSystem(node="core") as system:
        broker = []
        system.spawn(Ear, broker, {StepDone: True}, name="broker")
        ghoul = system.spawn(Ghoul, "http://127.0.0.1:1", "g@core", name="g")
        ghoul.tell(ParkJob(9, "broker@core"))
        system.advance(0.1)
        assert [one.epoch for one in heard(broker, Drained)] == [9]
        job = Job("j", "a", "ritual", [Step("/v1/x", {})])
        ghoul.tell(RunJob(5, job))
        ghoul.tell(RunJob(4, Job("old", "a", "ritual", [Step("/v1/x", {})])))
        system.advance(0.1)
        assert len(calls.open) == 1
        calls.end_one()
        system.advance(0.1)
        assert calls.begun == ["j/0"]


def test_a_step_of_a_job_that_a_ghoul_lost_is_no_step_of_the_next_one(calls):
    """S8: it was silent for too long, and its call ends after the new order came."""
    with SimSystem(node="core") as system:
        broker = []
        system.spawn(Ear, broker, {StepDone: True}, name="broker")
        ghoul = system.spawn(Ghoul, "http://127.0.0.1:1", "g@core", name="g")
        for epoch, name in enumerate(("lost", "next"), 1):
            ghoul.tell(RunJob(epoch, Job(name, "a", "ritual", [Step("/v1/x", {})])))
            system.advance(0.1)
        calls.end_one()
        system.advance(0.1)
        assert heard(broker, StepDone) == []
        calls.end_one()
        system.advance(0.1)
        assert [(one.job, one.result) for one in heard(broker, StepDone)] == [
            ("next", {"of": "next/0"})
        ]


def test_a_store_that_refuses_is_asked_again_and_ends_no_ghoul(calls):
    """D2: acknowledged means durable; a full disk is not the worker's death."""
    tries = itertools.count()

    def full_twice(step):
        if next(tries) < 2:
            raise ReplyError("not stored: disk full")
        return True

    with SimSystem(node="core") as system:
        system.spawn(Ear, [], {StepDone: full_twice}, name="broker")
        ghoul = system.spawn(Ghoul, "http://127.0.0.1:1", "g@core", name="g")
        ghoul.tell(RunJob(1, Job("j", "a", "ritual", [Step("/v1/x", {}) for _ in range(2)])))
        calls.end_all(system)
        system.advance(2.0)
        calls.end_all(system)
        assert calls.begun == ["j/0", "j/1"] and ghoul.alive


moves = st.lists(
    st.sampled_from(["end", "close", "open", "drain", "wait", "dominate"]), max_size=25
)


@settings(max_examples=60)
@given(moves=moves, schedule=schedules(), data=st.data())
def test_however_parking_and_working_cross_every_step_is_made_once(moves, schedule, data):
    """P4, S17: parked and handed out again in any order, no call is paid twice and none is lost."""
    calls = Calls()
    with pytest.MonkeyPatch.context() as patch, SimSystem(schedule, node="core") as system:
        patch.setattr(ghoul_module, "threading", calls)
        patch.setattr(ghoul_module, "call_gate", calls.gate)
        stage = Stage(system, calls, ghouls=2)
        for name in ("j0", "j1", "j2"):
            stage.submit(name)
        epoch = 0
        for move in moves:
            match move:
                case "end" if calls.open:
                    calls.end_one(data.draw(st.integers(0, 3)))
                case "close":
                    stage.broker.tell(CapabilitiesOpen(frozenset(), frozenset()))
                case "open":
                    stage.broker.tell(CapabilitiesOpen(EVERY, frozenset()))
                case "dominate":
                    stage.broker.tell(CapabilitiesOpen(EVERY, frozenset({"a"})))
                case "drain":
                    epoch += 1
                    stage.broker.tell(DrainGhouls(epoch, ("a",), 100.0, "coven@core"))
                case "wait":
                    system.advance(data.draw(st.sampled_from([0.001, 0.3, 1.0])))
        for _ in range(6):
            stage.broker.tell(CapabilitiesOpen(EVERY, frozenset()))
            calls.end_all(system)
            system.advance(1.0)
        every = sorted(f"{job}/{step}" for job in ("j0", "j1", "j2") for step in range(STEPS))
        assert sorted(calls.begun) == every
        assert [stage.show(job)["status"] for job in ("j0", "j1", "j2")] == ["done"] * 3
        assert {one for one, _ in stage.drained()} == set(range(1, epoch + 1))
