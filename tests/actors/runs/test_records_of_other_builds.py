"""A record that this build cannot read is left out and said; everything else goes on (D1, P2)."""

import msgspec
import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import lay_down
from tests.actors.stage import Ear, heard, small_box

from covend.actors.admission.catalog import Catalog
from covend.actors.jobs.broker import Broker
from covend.actors.messages import Alert
from covend.actors.people import delivery_log
from covend.actors.people.delivery_log import Mark, as_mark
from covend.actors.responders.trust import Standing, as_body
from covend.actors.runs import timekeeper
from covend.actors.runs.story import wall_clock
from covend.patterns.nesting import join_thread
from covend.patterns.query.spec import Join
from covend.phylactery.actor import Phylactery
from covend.protocol import Job, JobQuery, Step
from covend.questions import ListQueries, ListResponders, ListTasks, ShowQuery
from covend.runtime import ThreadSystem
from covend.testing import eventually

SOON = {"side_effects": {"max_latency_secs": 3600}}


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery_log, "SOON_SECONDS", 0.05)
    return World(tmp_path / "store.db", monkeypatch)


def written(world, *records):
    """What another build left in the store."""
    lay_down(world.path, records)


def stored(thread, kind, body, act="PUT"):
    return {"thread": thread, "kind": kind, "body": body, "actor": "other", "act": act,
            "clock": 1, "parents": []}  # fmt: skip


def skipped(core, what):
    """The one alert about a record of this kind."""
    found = [alert for alert in core.alerts() if f"the '{what}' record" in alert.text]
    assert found and "is skipped: covend" in found[0].text
    return found[0].text


def works(core):
    """The whole core answers still."""
    assert core.run(query("one"))["answer"] == "an answer"


BODIES = [{}, {"seq": "far"}, {"seq": 1, "tasks": [["only one"]]}, {"upto": 3, "whom": {}}]


@pytest.mark.parametrize("body", BODIES)
def test_an_unknown_account_of_who_was_told_is_skipped(world, body):
    """P18: the herald starts, and tells who is to be told."""
    world.scripted("one", "an answer")
    world.person("ann", channels=["test://ann"])
    written(world, stored(delivery_log.THREAD, "told", body))
    with world.core() as core:
        core.submit(query("ann", **SOON))
        eventually(lambda: world.told, 10, "ann is told")
        assert delivery_log.THREAD in skipped(core, "told")
        works(core)


def test_behind_an_unknown_account_the_last_known_one_counts(world):
    """P18: nobody is told twice for it."""
    world.person("ann", channels=["test://ann"])
    with world.core() as core:
        core.submit(query("ann", **SOON))
        eventually(
            lambda: core.records(delivery_log.THREAD, "told"), 10, "that ann is told is stored"
        )
    written(world, stored(delivery_log.THREAD, "told", {"format": 9}))
    with world.core() as core:
        core.system.address("herald").ask(delivery_log.Look(whole=True), timeout=5)
        assert skipped(core, "told")
    assert len(world.told) == 1


def test_what_a_herald_stores_is_what_the_next_one_reads(world):
    world.person("ann", channels=["test://ann"])
    with world.core() as core:
        core.submit(query("ann", **SOON))
        (entry,) = eventually(lambda: core.records(delivery_log.THREAD, "told"), 10, "it is stored")
        assert isinstance(as_mark(entry), Mark)


def test_a_responder_that_cannot_be_read_takes_no_other_with_it(world):
    world.scripted("one", "an answer")
    written(
        world,
        stored("responders", "responder", {"responder": {"id": "old", "kind": "oracle"}}),
        stored("responders", "responder", {"entry": 1}),
        stored(
            "responders", "responder", {"responder": {"id": "ann", "kind": "actor", "did": "d"}}
        ),
    )
    with world.core() as core:
        names = {one["id"] for one in core.ask(ListResponders())["responders"]}
        assert {"one", "ann"} <= names and "old" not in names
        assert "oracle" in skipped(core, "responder")
        works(core)


def test_standings_that_cannot_be_read_leave_those_before_them(world):
    """P8."""
    world.scripted("one", "an answer")
    known = as_body({"one": Standing(good=100.0, at=wall_clock())})
    written(
        world,
        stored("responders", "standings", known, "LEARN"),
        stored("responders", "standings", {"standings": {"one": {"good": "much"}}}, "LEARN"),
    )
    with world.core() as core:
        (one,) = [r for r in core.ask(ListResponders())["responders"] if r["id"] == "one"]
        assert one["trust"] != 0.5
        assert "good" in skipped(core, "standings")
        works(core)


def test_a_quarantine_of_which_nobody_knows_the_version_is_skipped_and_said(world):
    """P2."""
    world.scripted("one", "an answer")
    written(world, stored("q-1", "quarantine", {"reason": "old"}, "LEARN"))
    with world.core() as core:
        works(core)
        assert skipped(core, "quarantine")


def test_a_run_that_cannot_be_read_is_set_aside_alone(world):
    """P2: listed, refused with the reason when it is asked for, and nobody else's matter."""
    world.scripted("one", "an answer")
    timers = [{"name": "deadline", "due": 2}]
    written(world, stored("q-old", "intend", {"ask": "What was it?", "timers": timers}, "INTEND"))
    with world.core() as core:
        (kept,) = eventually(lambda: core.records("q-old", "quarantine"), 10, "it is set aside")
        assert kept["body"]["reason"]
        works(core)
        listed = core.ask(ListQueries())["queries"]
        assert [row["question"] for row in listed] == ["What is it?", None]
        refusal = core.refuses(ShowQuery("q-old"))
        assert (refusal["status"], refusal["code"]) == (500, "unreadable")
        works(core)


def test_a_task_that_cannot_be_read_hides_no_other(world):
    """P18."""
    world.person("ann")
    responder = {"kind": "actor", "did": "did:ann"}
    call = {"slot": "primary/0", "attempt": 1, "responder": responder, "deadline": 2**52}
    written(
        world,
        stored("q-old", "intend", {}, "INTEND"),
        stored("q-old", "call", call, "CALL"),
    )
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        core.task("did:ann")
        assert [task["thread"] for task in core.ask(ListTasks("did:ann"))["tasks"]] == [thread]


def test_timers_of_runs_that_are_set_aside_hold_up_no_others(world, monkeypatch):
    """P6: however many there are, a page of them is not all that is looked at."""
    monkeypatch.setattr(timekeeper, "PAGE", 2)
    monkeypatch.setattr(timekeeper, "LONGEST_SECONDS", 0.05)
    timers = [{"name": f"t{n}", "due": 2 + n} for n in range(5)]
    written(world, stored("q-old", "intend", {"timers": timers}, "INTEND"))
    world.person("ann")
    with world.core() as core:
        thread = core.submit(query("ann", **SOON))["id"]
        core.task("did:ann")
        core.forward(3601)
        assert core.ended(thread)["code"] == "latency_timeout"


def test_a_part_in_a_join_that_cannot_be_read_is_no_part(world):
    """P7: of two members that are needed the second comes; the run that ends goes its way."""
    world.scripted("one", "an answer")
    join = Join(id="both", of=2, need="all")
    then = {"name": "t", "query": query("one"), "join": msgspec.to_builtins(join)}
    written(world, stored(join_thread(join), "joined", {"member": "q-old"}))
    with world.core() as core:
        assert core.run(query("one", triggers=[then]))["answer"] == "an answer"
        assert skipped(core, "joined")
        assert core.row(join_thread(join)) is None
        works(core)


def test_a_job_that_cannot_be_read_leaves_the_broker_its_others(tmp_path):
    """P4: and an account of the jobs that cannot be read is as none."""
    job = Job(id="good", capability="a", klass="ritual", steps=[Step("/v1/x", {})])
    made = [
        ("jobs", "jobs", {"upto": "all"}, "LEARN"),
        ("job:odd", "job", {"work": 1}, "INTEND"),
        ("job:odd", "job", {"index": 0, "result": {}}, "DO"),
        ("job:good", "job", {"job": msgspec.to_builtins(job)}, "INTEND"),
    ]
    path, console = tmp_path / "store.db", []
    lay_down(path, [stored(*one) for one in made])
    with ThreadSystem(node="core") as system:
        system.spawn(Phylactery, path, name="phylactery")
        for name, log in (("console", console), ("dispatcher", [])):
            system.spawn(Ear, log, name=name)
        broker = system.spawn(Broker, Catalog(small_box()), name="broker")
        assert broker.ask(JobQuery("good"), timeout=5)["status"] == "queued"
        system.address("console").ask("all that was told before", timeout=5)
        alerts = [alert.text for alert in heard(console, Alert)]
        assert len(alerts) == 3 and all("is skipped" in text for text in alerts)
