"""A run killed between any two of its records goes on with the same calls (P2–P6)."""

import threading

import pytest
from tests.actors.running import World, completion, query

import covend
from covend.actors.calls import courier
from covend.actors.runs.desk import RUNS, Desk
from covend.actors.runs.effects import Effects
from covend.actors.runs.execution import Execution, Unstored
from covend.actors.runs.messages import (
    Cancelling,
    OpenPages,
    Recover,
    Resting,
    Returned,
    Routed,
    Ticked,
)
from covend.patterns import step
from covend.patterns.answers.understanding import Raw
from covend.patterns.state import INPUTS
from covend.phylactery.actor import Phylactery
from covend.phylactery.messages import Append, Query
from covend.phylactery.records import record
from covend.phylactery.store import Store
from covend.questions import ActOnTask, CancelQuery, EndOf, SettleCall, ShowQuery
from covend.runtime import (
    KILLED,
    ActorDead,
    AskTimeout,
    MailboxSpec,
    ReplyError,
    ThreadSystem,
)
from covend.testing import eventually

JSON = {"kind": "json"}


def make(tmp_path, monkeypatch, name="store"):
    return World(tmp_path / f"{name}.db", monkeypatch)


@pytest.fixture
def world(tmp_path, monkeypatch):
    return make(tmp_path, monkeypatch)


def patterns():
    models = {name: [{"id": f"model:{name}"}] for name in ("a", "small", "b", "ext")}
    return {
        "single_shot": {"pattern": "single_shot"},
        "verify": {"pattern": "verify", "verifier": models["ext"], "tiebreaker": models["b"]},
        "waterfall": {
            "pattern": "waterfall",
            "stages": [
                {"name": "one", "responders": models["a"], "accept_expression": "size(answer) > 9"},
                {"name": "two", "responders": models["b"]},
            ],
        },
        "retry": {
            "pattern": "retry_on_low_confidence",
            "expression": "answer != 'from small'",
            "adjustments": [{"responders": models["small"]}],
        },
        "escalate": {
            "pattern": "escalate",
            "tiers": [
                {"name": "one", "responders": models["a"], "expression": "answer == 'from a'"},
                {"name": "two", "responders": models["b"]},
            ],
        },
        "ensemble": {"pattern": "ensemble_with_audit", "auditor": models["b"]},
    }


def answer(job):
    asked = job.steps[0].body["messages"][-1]["content"]
    if "Answer to check" in asked:
        return completion('{"approved": true}')
    return completion(f"from {job.capability}")


def gaps(records):
    """Where a kill may fall: between two transactions. What follows from an input is one (P3)."""
    inputs = [entry["kind"] in INPUTS for entry in records] + [True]
    return [at for at in range(1, len(records) + 1) if inputs[at - 1] or inputs[at]]


def again(entry, **changed):
    """A stored record, built anew; the same one unless something is changed."""
    entry = {**entry, **changed}
    members = ("thread", "kind", "body", "actor", "act", "clock", "parents")
    return record(**{name: entry[name] for name in members})


def lay_down(path, records):
    """A store with just these records, as one transaction: what it takes is shown elsewhere."""
    with ThreadSystem(node="core") as system:
        store = system.spawn(Phylactery, path, name="phylactery")
        made = [again(entry) for entry in records]
        store.ask(Append(made), timeout=5.0)


@pytest.mark.parametrize("pattern", patterns())
def test_killed_after_any_record_a_run_ends_alike_and_pays_nothing_twice(
    tmp_path, monkeypatch, pattern
):
    """P4, P20: an answer without what follows is folded, a call without an answer is put again
    under its key, and nothing else."""
    asked = query("model:a", orchestration=patterns()[pattern])
    whole = make(tmp_path, monkeypatch, "whole")
    whole.model = answer
    with whole.core() as core:
        thread = core.submit(asked)["id"]
        know = core.ended(thread)
        records = core.records(thread)
    assert know["status"] == "fulfilled", know
    for length in gaps(records):
        world = make(tmp_path, monkeypatch, f"cut-{length}")
        world.model = answer
        world.jobs.update(whole.jobs)  # the provider remembers what it was paid for
        lay_down(world.path, records[:length])
        with world.core() as core:
            assert core.ended(thread)["answer"] == know["answer"]
            again = core.records(thread)
            assert [entry["kind"] for entry in again] == [entry["kind"] for entry in records]
            assert [entry["body"] for entry in again[:length]] == [
                entry["body"] for entry in records[:length]
            ]
            core.parked()
        keys = [entry["body"]["key"] for entry in records if entry["kind"] == "call"]
        assert world.paid == [] and len(whole.paid) == len(keys)


def test_an_input_and_what_follows_from_it_share_a_commit(world):
    """P3, docs/decisions/0006: two batches, of which only the first may be there alone."""
    world.scripted("one", "an answer")
    with world.core() as core:
        store = core.system.find("phylactery").cell.actor.store
        before = store.commits
        thread = core.submit(query("one"))["id"]
        core.ended(thread)
        core.parked()
        kinds = [entry["kind"] for entry in core.records(thread)]
        assert kinds == ["intend", "call", "do", "know"]
        assert store.commits - before == 2


def test_an_execution_that_dies_is_started_again_and_hears_the_answer_it_missed(world):
    """P4: the courier keeps an answer until it is recorded; the function is called once."""
    world.scripted("one", "an answer")
    world.held.clear()
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        eventually(lambda: world.called, what="the call")
        core.system.address(thread).tell(Routed(1, Returned(thread, "primary/0#1", None)))
        world.held.set()
        assert core.ended(thread)["answer"] == "an answer"
    assert len(world.called) == 1


def kept(core):
    """The calls whose answers the courier keeps."""
    return list(core.system.find("courier").cell.actor.errands)


def test_nobody_keeps_an_answer_that_is_recorded_or_whose_run_is_set_aside(world, monkeypatch):
    """P2, P3: the last answer of a run, and one that its run cannot take, are not said for ever."""
    world.scripted("one", "an answer")
    world.scripted("two", "another")
    with world.core() as core:
        core.run(query("one"))
        eventually(lambda: kept(core) == [], what="the answer is recorded")
        world.held.clear()
        thread = core.submit(query("one", "two"))["id"]
        eventually(lambda: len(world.called) == 3, what="both calls")
        monkeypatch.setattr(step, "take", failing)
        world.held.set()
        eventually(lambda: kept(core) == [], what="neither is waited for any more")
        assert len(core.records(thread, "do")) == 1
        assert len(core.records(thread, "quarantine")) == 1


def failing(k, entry):
    raise RuntimeError("a mistake of ours")


def test_another_answer_to_a_call_is_recorded_once_however_often_it_is_said(world):
    """P12: the courier says it again until it hears that it is stored."""
    world.scripted("one", "an answer")
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        assert core.ended(thread)["answer"] == "an answer"
        for body in ("another", "another", "an answer", "a third", "another"):
            raw = Raw(body=body, delay_secs=0.1)
            core.desk.tell(Returned(thread, "primary/0#1", raw))
        eventually(lambda: len(core.records(thread, "do")) == 3, what="both others are kept")
        core.parked()
        said = [body["value"] for body in (e["body"] for e in core.records(thread, "do"))]
        assert said == ["an answer", "another", "a third"]
        assert core.ended(thread)["answer"] == "an answer"


def test_an_answer_that_comes_before_a_new_execution_has_begun_is_not_lost(world, monkeypatch):
    """P4: its name is there before it read its records; what it is told then waits for that."""
    world.scripted("one", "of the function")
    world.held.clear()
    begin = Execution.on_start
    early = []

    def on_start(self):
        if early:
            raw = Raw(body="of the courier", delay_secs=0.1)
            self.ctx.tell(self.ctx.me, Routed(2, Returned(self.ctx.name, early.pop(), raw)))
        begin(self)

    monkeypatch.setattr(Execution, "on_start", on_start)
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        eventually(lambda: world.called, what="the call")
        early.append("primary/0#1")
        core.system.address(thread).tell(Routed(1, Returned(thread, "primary/0#1", None)))
        assert core.ended(thread)["answer"] == "of the courier"
        world.held.set()
    assert len(world.called) == 1


def test_who_asked_a_new_execution_that_dies_before_it_has_begun_is_told(world, monkeypatch):
    """P18: a word that came in before the records were read is not left without an answer."""
    world.scripted("one", "an answer")
    world.held.clear()
    start, read_back = Execution.on_start, Execution.restore
    asked = []

    def on_start(self):
        if not asked:
            order = Routed(2, Cancelling("enough", object()))
            asked.append(core.system.address(self.ctx.name).ask_later(order, timeout=20.0))
        start(self)

    def restore(self):
        monkeypatch.setattr(Execution, "restore", read_back)
        raise RuntimeError("the store is away")

    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        eventually(lambda: world.called, what="the call")
        monkeypatch.setattr(Execution, "on_start", on_start)
        monkeypatch.setattr(Execution, "restore", restore)
        core.system.address(thread).tell(Routed(1, Returned(thread, "primary/0#1", None)))
        eventually(lambda: asked, what="the next execution")
        with pytest.raises(ActorDead):
            asked[0].get()
        world.held.set()
        assert core.ended(thread)["answer"] == "an answer"


@pytest.mark.parametrize("error", [ReplyError, AskTimeout])
def test_who_asked_a_new_execution_that_cannot_read_its_records_is_told(world, monkeypatch, error):
    """P18: at once, and as of a refused record: the word is to be said again."""
    world.person("ann")
    start, read_back = Execution.on_start, Execution.restore
    asked = []

    def on_start(self):
        order = Routed(2, Cancelling("enough", object()))
        asked.append(core.system.address(self.ctx.name).ask_later(order, timeout=20.0))
        start(self)

    def restore(self):
        monkeypatch.setattr(Execution, "restore", read_back)
        raise error("the store is away")

    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        core.task("did:ann")
        core.parked()
        monkeypatch.setattr(Execution, "on_start", on_start)
        monkeypatch.setattr(Execution, "restore", restore)
        core.desk.tell(Ticked(thread, "nothing", 1))
        eventually(lambda: asked, what="its execution")
        with pytest.raises(Unstored, match="the store is away"):
            asked[0].get()
        eventually(lambda: Execution.restore is read_back, what="it is read back")
        core.parked()
        assert (len(asked), core.records(thread, "cancel")) == (1, [])


def test_who_waits_for_an_end_hears_it_although_the_run_died_when_it_had_stored_it(
    world, monkeypatch
):
    """P18: nobody looks into the store for whoever waits, so a run tells its end once more."""
    world.scripted("one", "an answer")
    world.held.clear()
    act = Effects.of
    died = []

    def of(self, k, draft):
        if draft.kind == "know" and not died:
            died.append(draft)
            raise RuntimeError("before anybody was told")
        act(self, k, draft)

    monkeypatch.setattr(Effects, "of", of)
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        waiting = core.desk.ask_later(EndOf(thread, 60.0), timeout=20.0)
        world.held.set()
        assert waiting.get()["know"]["answer"] == "an answer"
        assert died


def test_who_asks_for_an_end_hears_it_although_all_runs_died_when_it_was_stored(world, monkeypatch):
    """P18: of a run that nobody begins again, the store says what became of it."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 60.0)
    world.scripted("one", "an answer")
    world.held.clear()
    act, recover = Effects.of, Desk.recover
    recovered = threading.Event()

    def of(self, k, draft):
        if draft.kind == "know":
            core.system.find(RUNS).stop(KILLED)
            raise RuntimeError("before anybody was told")
        act(self, k, draft)

    def recovering(self):
        recover(self)
        recovered.set()

    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        eventually(lambda: world.called, what="the call")
        monkeypatch.setattr(Effects, "of", of)
        monkeypatch.setattr(Desk, "recover", recovering)
        world.held.set()
        assert recovered.wait(10)
        assert core.executions() == []
        assert core.ask(EndOf(thread, 60.0))["know"]["answer"] == "an answer"


@pytest.mark.parametrize("who", ["registry", "herald", "courier", "desk", RUNS, "timekeeper"])
def test_whichever_actor_dies_the_run_goes_on_and_its_waiting_asker_is_not_misled(world, who):
    """P4, S2: those that trusted the dead are started again with it, and look at the store."""
    world.scripted("one", "an answer")
    world.held.clear()
    with world.core() as core:
        thread = core.submit(query("one"))["id"]
        eventually(lambda: world.called, what="the call")
        dead = core.system.address(who).resolve()
        dead.stop(KILLED)
        assert core.system.join(dead, timeout=5.0)
        eventually(lambda: core.system.address(who).resolve(), what=f"a new {who}")
        world.held.set()
        eventually(lambda: core.system.address("desk").resolve(), what="a desk")
        assert core.ended(thread)["answer"] == "an answer"
        assert len(core.records(thread, "do")) == 1
        core.parked()
    assert len(set(world.called)) == 1
    assert len(world.called) == (1 if who in ("desk", RUNS, "timekeeper") else 2)


@pytest.mark.parametrize(("policy", "calls", "status"), [
    ("redispatch", 2, "fulfilled"), ("fail", 1, "error"),
])  # fmt: skip
def test_what_may_have_been_done_is_put_again_or_not_as_the_query_says(
    world, policy, calls, status
):
    """P4: on_indeterminate; under the same key."""
    world.other(
        name="cmd",
        kind="system",
        command=[
            "sh",
            "-c",
            f"echo x >> {world.path}.calls; "
            f"if [ -e {world.path}.go ]; then echo '\"done\"'; else sleep 60; fi",
        ],
    )
    marks = world.path.with_name("store.db.calls")
    with world.core() as core:
        thread = core.submit(query("cmd", on_indeterminate=policy))["id"]
        eventually(lambda: marks.exists() and marks.read_text(), what="the command runs")
    world.path.with_name("store.db.go").touch()
    with world.core() as core:
        assert core.ended(thread)["status"] == status
    assert len(marks.read_text().split()) == calls


def test_what_is_unclear_may_be_left_to_a_person_who_is_alerted(world):
    """P4: ask; the call stays open until its deadline, and is not put again."""
    world.scripted("one", "an answer", idempotent=False)
    world.other(name="cmd", kind="system", command=["sleep", "60"])
    with world.core() as core:
        thread = core.submit(query("cmd", on_indeterminate="ask"))["id"]
        eventually(lambda: core.records(thread, "call"), what="the call")
    with world.core() as core:
        eventually(core.alerts, what="an alert")
        assert "nobody knows whether call primary/0#1" in core.alerts()[0].text
        assert core.row(thread)["state"] == "open"
        core.ask(CancelQuery(thread))


def shown(core, thread):
    """How the only call of a run stands, for who looks at the run."""
    (call,) = core.ask(ShowQuery(thread))["calls"]
    return call["status"]


@pytest.mark.parametrize(("how", "calls", "status"), [
    ("again", 2, "fulfilled"), ("failed", 1, "error"),
])  # fmt: skip
def test_an_operator_says_what_becomes_of_an_unclear_call(world, how, calls, status):
    """P4: once, and of no call that is not unclear."""
    marks, go = world.path.with_name("calls"), world.path.with_name("go")
    script = f"echo x >> {marks}; if [ -e {go} ]; then echo '\"done\"'; else sleep 60; fi"
    world.other(name="cmd", kind="system", command=["sh", "-c", script])
    with world.core() as core:
        thread = core.submit(query("cmd", on_indeterminate="ask"))["id"]
        eventually(lambda: marks.exists() and marks.read_text(), what="the command runs")
        early = core.ask(SettleCall(thread, "primary/0#1", how))
        assert early["refused"]["status"] == 409
        assert shown(core, thread) == "open"
    go.touch()
    with world.core() as core:
        eventually(core.alerts, what="an alert")
        assert shown(core, thread) == "unclear"
        assert core.ask(SettleCall(thread, "primary/0#1", how))["how"] == how
        assert core.ended(thread)["status"] == status
        assert core.ask(SettleCall(thread, "primary/0#1", how))["refused"]["status"] == 409
        assert shown(core, thread) != "unclear"
    assert len(marks.read_text().split()) == calls


def test_a_run_that_waits_for_a_person_is_not_woken_by_a_restart_nor_its_person_told_again(world):
    """P4, P6, P18."""
    world.person("ann", channels=["test://ann"])
    with world.core(digest_seconds=0.01) as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        eventually(lambda: world.told, what="a message for ann")
        store = core.system.address("phylactery")
        eventually(lambda: store.ask(Query(kind="told"), timeout=5), 5, "how far is stored")
    with world.core(digest_seconds=0.01) as core:
        core.desk.tell(Recover())
        assert core.task("did:ann") == task
        assert core.executions() == []
        core.act(task, "submit", value="mine")
        assert core.ended(thread)["answer"] == "mine"
    assert len(world.told) == 1


def test_a_run_whose_records_differ_from_what_follows_is_set_aside_with_both_versions(world):
    """P2: it is touched no more, the operator hears of it, and no supervisor loops on it."""
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        core.task("did:ann")
        core.parked()
        call = core.records(thread, "call")[0]
        intend = core.records(thread, "intend")[0]
    forged = again(call, body={**call["body"], "role": "audit"})
    world.path = world.path.with_name("forged.db")
    with ThreadSystem(node="core") as system:
        store = system.spawn(Phylactery, world.path, name="phylactery")
        store.ask(Append([again(intend), forged]), timeout=5.0)
    with world.core() as core:
        for _ in range(3):
            told = core.ask(CancelQuery(thread))["refused"]
            assert (told["status"], told["code"]) == (409, "set_aside")
            core.parked()
        (kept,) = core.records(thread, "quarantine")
        assert kept["body"]["written"]["body"]["role"] == "audit"
        assert kept["body"]["derived"]["body"]["role"] == "answer"
        assert kept["body"]["covend"] == covend.__version__
        alerts = eventually(core.alerts, what="an alert for the operator")
        assert "set aside" in alerts[0].text
        core.forward(8 * 86_400)
        core.parked()
        assert len(core.records(thread, "quarantine")) == len(core.alerts()) == 1


def test_an_overwhelmed_run_harms_nobody_else(world, monkeypatch):
    """S12: what it cannot take any more is its own affair, not the desk's."""
    monkeypatch.setattr(Execution, "mailbox", MailboxSpec(bound=2, policy="reject"))
    world.person("ann")
    going_on, store = threading.Event(), Store._store

    def waiting(self, batch, last):
        if batch[0].kind == "do":
            going_on.wait(10)
        return store(self, batch, last)

    monkeypatch.setattr(Store, "_store", waiting)
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        core.parked()
        word = ActOnTask(task["id"], "decline", "did:ann")
        told = [core.desk.ask_later(word, timeout=20.0)]
        eventually(core.executions, what="its execution")
        desk = core.system.find("desk")
        for number in range(3):
            core.desk.tell(Ticked(thread, f"nothing-{number}", 1))
        core.desk.tell(Resting(thread, -1))
        assert core.ask(OpenPages()) == ()
        going_on.set()
        assert "refused" not in told[0].get()
        assert core.system.find("desk") is desk
