"""Who waits for a job hears its end, and what must not be made twice is not (P4, P14)."""

import pytest
from tests.actors.jobs.working import EVERY, STEPS
from tests.actors.stage import Ear, Store, heard

from covend.actors.jobs.book import UNCLEAR
from covend.actors.jobs.broker import WITHDRAWN
from covend.actors.jobs.ghoul import Ghoul
from covend.actors.messages import (
    CapabilitiesOpen,
)
from covend.phylactery.actor import Append
from covend.protocol import (
    CancelJob,
    JobFinished,
    SignalsChanged,
    Step,
    SubmitJob,
)
from covend.runtime import ReplyError

# ── who waits for a job ──────────────────────────────────────────────────────────────────────


def listening(stage, name="waiter"):
    told = []
    stage.system.spawn(Ear, told, name=name)
    return told


def order(name="j", steps=1, tell="waiter@core"):
    return SubmitJob("a", [Step("/v1/x", {}) for _ in range(steps)], id=name, tell=tell)


def test_whoever_submits_a_job_with_an_address_hears_its_end_once(stage):
    """P4: a call through a ghoul is a job."""
    told = listening(stage)
    stage.broker.ask(order(), timeout=5.0)
    stage.calls.end_all(stage.system)
    stage.system.advance(1.0)
    assert heard(told, JobFinished) == [JobFinished("j", None, [{"of": "j/0"}])]


def test_whoever_submits_a_job_that_has_ended_hears_its_end_and_nothing_is_done_again(stage):
    """P4: a killed core asks again under the same name, and pays nothing twice."""
    stage.submit(steps=1)
    stage.calls.end_all(stage.system)
    stage.broker.stop()
    stage.system.join(stage.broker, timeout=5.0)
    stage.start_broker()
    told = listening(stage)
    stage.broker.ask(order(), timeout=5.0)
    stage.system.advance(3.0)
    assert heard(told, JobFinished) == [JobFinished("j", None, [{"of": "j/0"}])]
    assert stage.calls.begun == ["j/0"]


def test_a_job_that_nobody_works_on_is_cancelled_and_one_under_way_is_not(stage):
    """P14: what can be stopped is stopped."""
    told = listening(stage)
    for name in ("first", "second"):
        stage.broker.ask(order(name), timeout=5.0)
    stage.system.advance(0.1)
    for name in ("first", "second", "nobody"):
        stage.broker.tell(CancelJob(name))
    stage.calls.end_all(stage.system)
    stage.system.advance(1.0)
    ended = {news.id: news.error for news in heard(told, JobFinished)}
    assert ended == {"first": None, "second": WITHDRAWN}
    assert stage.calls.begun == ["first/0"]


@pytest.mark.parametrize("how", ["parked", "refused", "its ghoul dies"])
def test_a_job_that_nobody_waits_for_is_not_handed_out_again(stage, how):
    """P14, W9: put down, it is no demand for hardware, however often it would be put down."""
    told = listening(stage)
    stage.broker.ask(order(steps=2), timeout=5.0)
    stage.system.advance(0.05)
    stage.broker.tell(CancelJob("j"))
    if how == "its ghoul dies":
        restart_ghoul(stage)
    else:
        stage.calls.answers["j/0"] = {"refused": "502"} if how == "refused" else {"answer": {}}
        stage.drain()
        stage.calls.end_one()
    stage.dispatcher.clear()
    stage.system.advance(8.0)
    assert [news.error for news in heard(told, JobFinished)] == [WITHDRAWN]
    assert not any(change.added for change in heard(stage.dispatcher, SignalsChanged))


def test_a_job_that_is_submitted_again_is_waited_for_again(stage):
    """P4: the same name again is the same job."""
    told = listening(stage)
    stage.broker.ask(order(), timeout=5.0)
    stage.system.advance(0.05)
    stage.broker.tell(CancelJob("j"))
    stage.broker.ask(order(), timeout=5.0)
    stage.calls.answers["j/0"] = {"refused": "503"}
    stage.calls.end_one()
    stage.calls.answers.clear()
    stage.calls.end_all(stage.system)
    assert heard(told, JobFinished) == [JobFinished("j", None, [{"of": "j/0"}])]


# ── what must not be made twice (P4) ─────────────────────────────────────────────────────────


def submit_once(stage, steps=STEPS):
    order = SubmitJob("a", [Step("/v1/x", {})] * steps, id="j", tell="listener@core", once=True)
    told = []
    stage.system.spawn(Ear, told, name="listener")
    stage.broker.ask(order, timeout=5.0)
    stage.system.advance(0.05)
    return told


def restart_ghoul(stage, again=True):
    ghoul = stage.system.find("ghoul-0")
    ghoul.stop()
    stage.system.join(ghoul)
    if again:
        stage.system.spawn(Ghoul, "http://127.0.0.1:1", "ghoul-0@core", name="ghoul-0")


def restart_broker(stage):
    stage.broker.stop()
    stage.system.join(stage.broker)
    stage.start_broker()
    stage.system.advance(3.0)


def lost(told):
    return [(news.error, news.unclear) for news in heard(told, JobFinished)]


@pytest.mark.parametrize("again", [True, False])
def test_a_job_that_says_once_ends_when_its_ghoul_dies_in_the_middle_of_a_step(stage, again):
    """P4: nobody knows whether the step was made; the ghoul is started again, or stays silent."""
    told = submit_once(stage)
    restart_ghoul(stage, again)
    stage.system.advance(8.0)
    assert lost(told) == [(UNCLEAR, True)]
    assert stage.calls.begun == [] and len(stage.calls.open) == 1
    assert stage.show()["status"] == "failed"


def test_any_other_job_makes_the_step_again(stage):
    """P4: at least once, since it costs time and no money."""
    stage.submit()
    stage.system.advance(0.05)
    restart_ghoul(stage)
    stage.system.advance(8.0)
    assert len(stage.calls.open) == 2
    stage.calls.end_all(stage.system)
    assert stage.show()["status"] == "done"


@pytest.mark.parametrize("again", [False, True], ids=["", "also by another broker"])
def test_a_job_that_says_once_is_handed_on_where_it_was_put_down(stage, again):
    """S17: parked between two steps, or refused by the gate, nothing of the next step was made."""
    told = submit_once(stage)
    stage.drain(epoch=2)
    stage.calls.end_one()
    stage.system.advance(0.1)
    assert stage.show()["parked"] == 1
    if again:
        restart_broker(stage)
        stage.broker.ask(SubmitJob("a", [Step("/v1/x", {})], id="j", tell="listener@core"), 5.0)
    stage.broker.tell(CapabilitiesOpen(EVERY, frozenset()))
    stage.calls.answers["j/1"] = {"refused": "503: full"}
    stage.system.advance(0.1)
    stage.calls.end_one()
    stage.system.advance(0.1)
    stage.calls.answers.clear()
    stage.calls.end_all(stage.system)
    assert [(news.error, len(news.results)) for news in heard(told, JobFinished)] == [(None, STEPS)]


@pytest.mark.parametrize("how", ["refused", "error"])
def test_a_job_that_says_once_ends_when_the_gate_breaks_off_its_step(stage, how):
    """P4: the request had been sent."""
    told = submit_once(stage)
    stage.calls.answers["j/0"] = {how: "ConnectionResetError", "begun": True}
    stage.calls.end_one()
    stage.system.advance(0.5)
    assert lost(told) == [(UNCLEAR, True)]


@pytest.mark.parametrize("alive", [True, False])
def test_a_restarted_broker_knows_which_job_somebody_may_be_in_the_middle_of(stage, alive):
    """P4: a ghoul that lives keeps its job; of one that died nobody knows."""
    submit_once(stage)
    stage.broker.stop()
    stage.system.join(stage.broker)
    if not alive:
        restart_ghoul(stage)
    stage.start_broker()
    stage.system.advance(6.0)
    assert stage.show()["status"] == ("running" if alive else "failed")
    stage.calls.end_all(stage.system)
    assert stage.show()["error"] == (None if alive else UNCLEAR)


@pytest.mark.parametrize("act", ["KNOW", "DO"])
def test_an_end_for_which_there_was_no_room_is_stored_and_told_once_there_is(
    stage, monkeypatch, act
):
    """D2: told only when it is durable, and not lost; no step is made again for it."""
    told, refused = listening(stage), []
    on_receive = Store.on_receive

    def full(self, message):
        if isinstance(message, Append) and message.records[0].act == act and len(refused) < 3:
            refused.append(message)
            raise ReplyError("not stored: no room left")
        return on_receive(self, message)

    monkeypatch.setattr(Store, "on_receive", full)
    stage.broker.ask(order(), timeout=5.0)
    stage.calls.end_all(stage.system)
    if act == "KNOW":
        stage.broker.ask(order(), timeout=5.0)
        stage.system.advance(0.05)
        assert heard(told, JobFinished) == []
    stage.system.advance(5.0)
    assert heard(told, JobFinished) == [JobFinished("j", None, [{"of": "j/0"}])]
    assert [entry["act"] for entry in stage.records] == ["INTEND", "DO", "KNOW"]
    assert stage.calls.begun == ["j/0"] and len(refused) == 3
