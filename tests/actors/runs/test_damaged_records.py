"""One damaged record is left out and said; the core starts, and goes on without it (D1, D2)."""

import sqlite3

import msgspec
import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import lay_down
from tests.actors.stage import Ear, heard, small_box

from covend.actors.admission.catalog import Catalog
from covend.actors.jobs.broker import Broker
from covend.actors.messages import Alert
from covend.actors.people import delivery_log
from covend.actors.responders.registry import Registry, Save
from covend.actors.responders.trust_recovery import LATE_US, uncounted
from covend.actors.runs import reading
from covend.patterns import step
from covend.phylactery.actor import Phylactery
from covend.protocol import Job, JobQuery, Step
from covend.questions import (
    ActOnTask,
    CancelQuery,
    EndOf,
    ListQueries,
    ListResponders,
    ListTasks,
    PutResponder,
    RecordsOf,
    ShowQuery,
)
from covend.runtime import ThreadSystem
from covend.testing import eventually

SOON = {"side_effects": {"max_latency_secs": 3600}}

FLIPS = {
    "another letter": "body = replace(body, '{', '[')",
    "no text at all": "body = CAST(x'7bff7d' AS TEXT)",
    "another thread": "actor = 'somebody'",
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("good", "yes")
    return world


def damage(world, which, flip="another letter"):
    """As a bit that flips on the disk; returns which records it hit."""
    with sqlite3.connect(world.path) as db:
        seqs = [seq for (seq,) in db.execute(f"SELECT seq FROM record WHERE {which}")]
        db.execute(f"UPDATE record SET {FLIPS[flip]} WHERE {which}")
    db.close()
    assert seqs
    return seqs


def tick(thread, clock):
    """The record of a timer, which reminds nobody."""
    return {"thread": thread, "kind": "tick", "body": {"name": "whatever", "due": 1},
            "actor": "timekeeper", "act": "LEARN", "clock": clock, "parents": []}  # fmt: skip


def hears_of(core, seqs):
    """The operator is told of each of these records, and of no other."""

    def skipped():
        return sorted({one.data["seq"] for one in core.alerts() if "it is damaged" in one.text})

    eventually(lambda: skipped() == sorted(seqs), 10, f"alerts about {seqs}")


def standings(core):
    core.ask(ListResponders())
    return core.system.find("registry").cell.actor.standings


@pytest.mark.parametrize("flip", FLIPS)
def test_a_damaged_responder_is_forgotten_alone(world, flip):
    """P8: those registered before and after it are there."""
    with world.core() as core:
        for name in ("ann", "bob", "cat"):
            core.ask(PutResponder({"id": name, "kind": "pattern", "function": "arithmetic"}))
    hit = damage(world, """kind = 'responder' AND body LIKE '%"bob"%'""", flip)
    with world.core() as core:
        known = {one["id"] for one in core.ask(ListResponders())["responders"]}
        assert {"ann", "cat"} <= known and "bob" not in known
        hears_of(core, hit)
        assert core.run(query("good"))["answer"] == "yes"


def test_behind_damaged_standings_the_ones_before_count_and_the_runs_since(world, monkeypatch):
    """P8: nothing is counted twice, nothing lost."""
    monkeypatch.setattr(Registry, "on_stop", lambda self, reason: None)
    with world.core() as core:
        for _ in range(3):
            core.run(query("good"))
            core.system.address("registry").ask(Save(), timeout=5)
        before = standings(core)["good"].good
    newest = "seq = (SELECT max(seq) FROM record WHERE kind = 'standings')"
    hit = damage(world, newest)
    with world.core() as core:
        core.run(query("good"))
        assert standings(core)["good"].good == pytest.approx(before + 1, abs=0.01)
        hears_of(core, hit)


def test_a_run_whose_end_or_whose_story_is_damaged_is_not_learned_from(world, monkeypatch):
    """P8: the others are; the registry does not ask for it for ever."""
    monkeypatch.setattr(Registry, "on_stop", lambda self, reason: None)
    with world.core() as core:
        runs = [core.submit(query("good"))["id"] for _ in range(3)]
        for run in runs:
            core.ended(run)
    ends = damage(world, f"kind = 'know' AND thread = '{runs[0]}'")
    damage(world, f"kind = 'do' AND thread = '{runs[1]}'")
    with world.core() as core:
        core.run(query("good"))
        assert standings(core)["good"].good == pytest.approx(2, abs=0.01)
        hears_of(core, ends)
        said = eventually(lambda: [one.text for one in core.alerts() if runs[1] in one.text], 10)
        assert len(said) == 1 and "is damaged: " in said[0]


def test_damaged_marks_and_ticks_keep_nobody_from_being_told(world, monkeypatch):
    """P18: the herald starts; who waits and is not known to have been told is told once more."""
    monkeypatch.setattr(delivery_log, "SOON_SECONDS", 0.05)
    world.person("ann", channels=["test://ann"])
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        eventually(
            lambda: core.records(delivery_log.THREAD, "told"), 10, "that ann is told is stored"
        )
    lay_down(world.path, [tick(thread, 1), tick(thread, 2)])
    hit = damage(world, "kind = 'told'") + damage(world, "kind = 'tick' AND clock = 1")
    with world.core() as core:
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
        eventually(lambda: len(world.told) == 2, 10, "ann is told once more")
        hears_of(core, hit)
        herald = core.system.find("herald").cell.actor
        assert herald.account.ticks_read == max(hit) + 1, "the tick behind it was read"


@pytest.mark.parametrize("kind", ["job", "jobs"])
def test_a_damaged_record_of_a_job_is_that_jobs_affair(world, kind):
    """W21: the broker starts, and knows the others."""
    step = Step("/v1/x", {})
    jobs = [
        {"thread": f"job:{name}", "kind": "job", "act": "INTEND", "actor": "client", "clock": 1,
         "parents": [], "body": {"job": msgspec.to_builtins(Job(name, "a", "ritual", [step]))}}
        for name in ("one", "two")
    ]  # fmt: skip
    mark = {"upto": 2, "jobs": ["one", "two"], "done": 0, "failed": 0}
    lay_down(world.path, [*jobs, {**jobs[0], "thread": "jobs", "kind": "jobs", "body": mark}])
    (hit,) = damage(world, f"kind = '{kind}' AND thread IN ('job:one', 'jobs')")
    console = []
    with ThreadSystem(node="core") as system:
        system.spawn(Phylactery, world.path, name="phylactery")
        for name, log in (("console", console), ("dispatcher", [])):
            system.spawn(Ear, log, name=name)
        broker = system.spawn(Broker, Catalog(small_box()), name="broker")
        assert broker.ask(JobQuery("two"), timeout=5)["status"] == "queued"
        eventually(lambda: heard(console, Alert), 10, "the alert")
        assert {alert.data["seq"] for alert in heard(console, Alert)} == {hit}


def test_before_a_whole_checkpoint_the_place_of_a_damaged_one_is_enough():
    """P8: what it counted is in the one after it, and is not looked at again."""
    asked = []

    def ask(question):
        asked.append(question.after)
        return [{"thread": "new", "clock": 3}, {"thread": "counted", "clock": 2},
                {"thread": "imported", "clock": 1 - LATE_US}]  # fmt: skip

    last = {"seq": 9, "clock": 2, "body": {"runs": ["counted"]}}
    broken = {"seq": 5, "damaged": "its content is not what its id names"}
    older = {"seq": 2, "clock": 1, "body": {"runs": []}}
    assert [end["thread"] for end in uncounted(ask, [last, broken, older])] == ["new"]
    assert asked == [5]
    uncounted(ask, [broken, last, older])
    assert asked == [5, 2]


def test_what_is_damaged_of_one_run_hides_no_other(world):
    """P18: neither in the inbox nor in the list of runs."""
    world.person("ann")
    with world.core() as core:
        for question in ("One?", "Two?"):
            core.submit(query("ann", question=question))
        core.parked()
    damage(world, "kind = 'call' AND body LIKE '%One?%'")
    damage(world, "kind = 'intend' AND body LIKE '%One?%'")
    with world.core() as core:
        for did in ("did:ann", None):
            assert [task["question"] for task in core.ask(ListTasks(did))["tasks"]] == ["Two?"]
        lines = core.ask(ListQueries())["queries"]
        assert [(line["question"], line["state"]) for line in lines] == [
            ("Two?", "open"), (None, "open"),
        ]  # fmt: skip


@pytest.mark.parametrize("flip", FLIPS)
def test_a_run_whose_records_are_damaged_is_set_aside_and_the_operator_is_told_once(world, flip):
    """P2: it cannot go on, so it is not read again and again, nor does anybody wait for it."""
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        core.parked()
    (seq,) = damage(world, f"kind = 'call' AND thread = '{thread}'", flip)
    for told in (1, 0):
        with world.core() as core:
            for _ in range(2):
                word = ActOnTask(task["id"], "submit", "did:ann", value="yes")
                assert core.refuses(word)["code"] == "set_aside"
            core.parked()
            texts = [one.text for one in core.alerts() if "set aside" in one.text]
            assert len(texts) == told
            assert all(f"its record {seq} is damaged" in text for text in texts)
            assert len(core.records(thread, "quarantine")) == 1


def ended_run(world):
    """A run of one call and one answer; its thread, and its records as they were."""
    with world.core() as core:
        thread = core.submit(query("good"))["id"]
        core.ended(thread)
        return thread, core.records(thread)


def shown(world, thread):
    """The run as it is shown by the next core, and its records."""
    with world.core() as core:
        return core.ask(ShowQuery(thread)), core.ask(RecordsOf(thread))


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("kind", ["intend", "call", "do", "know"])
def test_what_is_whole_of_a_damaged_run_is_shown_and_what_is_damaged_is_named(world, kind, flip):
    """D1: the rest of it may be all that somebody needs."""
    thread, records = ended_run(world)
    before, _ = shown(world, thread)
    hit = damage(world, f"kind = '{kind}' AND thread = '{thread}'", flip)
    view, page = shown(world, thread)
    assert [one["seq"] for one in view["damaged"]] == hit and view["damaged"] == page["damaged"]
    wrong = "its text is not UTF-8" if flip == "no text at all" else "its content is not what its"
    assert all(one["problem"].startswith(wrong) for one in view["damaged"])
    assert [one["seq"] for one in page["records"]] == [
        one["seq"] for one in records if one["seq"] not in hit
    ]
    assert (view["state"], view["set_aside"]) == ("ended", None)
    assert view["query"] == (None if kind == "intend" else before["query"])
    assert view["know"] == (None if kind == "know" else before["know"])
    calls = {"intend": 0, "call": 0}.get(kind, 1)
    assert len(view["calls"]) == calls
    assert (view["calls"] == before["calls"]) == (kind == "know")
    assert view["spent"] == before["spent"]


@pytest.mark.parametrize("kind", ["intend", "know"])
def test_who_waits_for_an_ended_run_or_cancels_it_is_told_that_it_has_ended(world, kind):
    """D1: it will not be readable later, so nobody is told to ask again."""
    thread, _ = ended_run(world)
    damage(world, f"kind = '{kind}' AND thread = '{thread}'")
    with world.core() as core:
        for message in (EndOf(thread), EndOf(thread, wait=5.0), CancelQuery(thread)):
            told = core.ask(message)
            assert (told["id"], told["state"]) == (thread, "ended")
            assert (told["know"] is None) == (kind == "know")


def test_who_cancels_a_run_whose_beginning_is_damaged_is_told_that_it_is_set_aside(world):
    """P14, P2: an operator is; of a person nobody knows any more that he asked it."""
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann"), by="did:ben")["id"]
        core.parked()
    damage(world, f"kind = 'intend' AND thread = '{thread}'")
    with world.core() as core:
        assert core.refuses(CancelQuery(thread))["code"] == "set_aside"
        assert core.refuses(CancelQuery(thread, by="did:ben"))["code"] == "not_your_query"


def test_a_run_of_which_nothing_is_whole_says_so_of_each_record(world):
    """D1: its row says at least whether it has ended, and when."""
    thread, records = ended_run(world)
    damage(world, f"thread = '{thread}'")
    view, page = shown(world, thread)
    assert [one["seq"] for one in view["damaged"]] == [one["seq"] for one in records]
    assert (view["state"], view["query"], view["know"], view["calls"]) == ("ended", None, None, [])
    assert (page["records"], page["ended"], page["next"]) == ([], True, None)


def test_what_is_damaged_is_named_on_the_page_it_belongs_to(world, monkeypatch):
    """D1: once, and also where the last record is damaged."""
    monkeypatch.setattr(reading, "RECORDS_LIMIT", 2)
    thread, records = ended_run(world)
    seqs = [one["seq"] for one in records]
    damage(world, f"seq IN ({seqs[1]}, {seqs[-1]})")
    with world.core() as core:
        pages, after = [], 0
        while after is not None:
            pages.append(core.ask(RecordsOf(thread, after)))
            after = pages[-1]["next"]
    told = [one["seq"] for page in pages for one in page["damaged"]]
    assert told == [seqs[1], seqs[-1]] and len(pages) > 1
    assert [one["seq"] for page in pages for one in page["records"]] == [
        seq for seq in seqs if seq not in told
    ]


def parked_and_damaged(world):
    """A run that waits for a person, whose call is damaged meanwhile: thread, task and record."""
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        core.parked()
        assert core.ask(ShowQuery(thread))["set_aside"] is None
    (seq,) = damage(world, f"kind = 'call' AND thread = '{thread}'")
    return thread, task, seq


def test_a_run_that_is_set_aside_is_shown_as_such_with_the_reason(world):
    """P2: damaged or not, it does not go on by itself."""
    thread, task, seq = parked_and_damaged(world)
    with world.core() as core:
        assert core.refuses(ActOnTask(task["id"], "submit", "did:ann", value="yes"))
        core.parked()
        view = core.ask(ShowQuery(thread))
    assert (view["state"], view["know"], view["calls"]) == ("open", None, [])
    assert f"its record {seq} is damaged: its content is not what" in view["set_aside"]
    assert view["damaged"] == [{"seq": seq, "problem": "its content is not what its id names"}]


def test_who_follows_a_run_hears_at_once_that_it_is_set_aside(world):
    """P2, P18: nothing more comes, so nobody waits for it."""
    thread, task, seq = parked_and_damaged(world)
    with world.core() as core:
        waits = core.desk.ask_later(RecordsOf(thread, seq, wait=50.0), timeout=60.0)
        assert core.refuses(ActOnTask(task["id"], "submit", "did:ann", value="yes"))
        told = waits.get()
        again = core.ask(RecordsOf(thread, seq, wait=50.0))
    assert told["set_aside"] and not told["ended"]
    assert again["set_aside"] and [one["kind"] for one in again["records"]] == ["quarantine"]


def test_a_run_that_was_set_aside_for_what_has_passed_stays_aside(world, monkeypatch):
    """P2: half alive it would take words, and hear of no timer."""
    world.person("ann")
    real = step.take

    def fails_once(k, entry):
        monkeypatch.setattr(step, "take", real)
        raise RecursionError("passing")

    with world.core() as core:
        thread = core.submit(query("ann"))["id"]
        task = core.task("did:ann")
        monkeypatch.setattr(step, "take", fails_once)
        for _ in range(2):
            word = ActOnTask(task["id"], "accept", "did:ann", eta_secs=60.0)
            assert core.refuses(word)["code"] == "set_aside"
            core.parked()
        kinds = [entry["kind"] for entry in core.records(thread)]
        assert kinds == ["intend", "call", "do", "quarantine"]
