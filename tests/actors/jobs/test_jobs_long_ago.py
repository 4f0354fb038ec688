"""A broker of many jobs: it keeps and reads back only what may still be asked for."""

from tests.actors.stage import Ear, heard, small_box

from covend.actors.admission.catalog import Catalog
from covend.actors.jobs import broker as module
from covend.actors.jobs import records
from covend.actors.jobs.broker import PURGED, Broker
from covend.actors.messages import Alert, CapabilitiesOpen, Snapshot
from covend.phylactery.actor import Phylactery
from covend.phylactery.messages import Purge, Query
from covend.protocol import (
    CancelJob,
    GhoulHello,
    JobEnded,
    JobFinished,
    JobQuery,
    RunJob,
    Step,
    StepDone,
    SubmitJob,
)
from covend.runtime import Actor, ThreadSystem
from covend.testing import eventually


def order(name, run=None):
    return SubmitJob("a", [Step("/v1/x", {})], id=name, tell="waiter@core", run=run)


class Hands(Actor):
    """A ghoul that does every job of one step at once."""

    def on_start(self):
        self.ctx.tell("broker", GhoulHello(self.ctx.name, f"{self.ctx.name}@core", 0, None))

    def on_receive(self, message):
        if isinstance(message, RunJob):
            job, epoch, me = message.job.id, message.epoch, self.ctx.name
            self.ctx.ask("broker", StepDone(me, epoch, job, 0, {"said": job}), timeout=5)
            self.ctx.tell("broker", JobEnded(me, epoch, job, None))


def test_jobs_that_ended_long_ago_are_forgotten_and_still_known(tmp_path, monkeypatch):
    """P4: whoever asks for one again hears its end, however many came after it."""
    monkeypatch.setattr(module, "CHECKPOINT", 10)
    monkeypatch.setattr(records, "KEEP_ENDED", 5)
    told = []
    with ThreadSystem(node="core") as system:
        store = system.spawn(Phylactery, tmp_path / "store.db", name="phylactery")
        for name, log in (("console", []), ("dispatcher", []), ("waiter", told)):
            system.spawn(Ear, log, name=name)
        broker = system.spawn(Broker, Catalog(small_box()), name="broker")
        broker.ask(order("open"), timeout=5)
        for number in range(25):
            broker.ask(order(f"j{number}"), timeout=5)
            broker.tell(CancelJob(f"j{number}"))
        expected = {"queued": 1, "running": 0, "parked": 0, "done": 0, "failed": 25}
        eventually(lambda: broker.ask(Snapshot(), timeout=5) == expected, what="all ended")
        assert len(store.ask(Query(kind="jobs"), timeout=5)) == 2
        broker.stop()
        system.join(broker, timeout=5.0)
        again = system.spawn(Broker, Catalog(small_box()), name="broker")
        assert again.ask(Snapshot(), timeout=5) == expected
        assert again.ask(JobQuery("j0"), timeout=5)["status"] == "failed"
        assert again.ask(JobQuery("open"), timeout=5)["status"] == "queued"
        ends = len(heard(told, JobFinished))
        again.ask(order("j1"), timeout=5)
        eventually(lambda: len(heard(told, JobFinished)) == ends + 1, what="the end is told again")
        assert len(store.ask(Query(kind="job", thread="job:j1"), timeout=5)) == 2
        assert again.ask(Snapshot(), timeout=5) == expected


def test_jobs_whose_records_were_purged_are_read_back_as_ended(tmp_path, monkeypatch):
    """D4: how each ended is known, and what it was is not; nobody is alarmed, nothing is counted
    twice and nothing is done again."""
    monkeypatch.setattr(module, "REJOIN_SECONDS", 0.0)
    told, console = [], []
    with ThreadSystem(node="core") as system:
        store = system.spawn(Phylactery, tmp_path / "store.db", name="phylactery")
        for name, log in (("console", console), ("dispatcher", []), ("waiter", told)):
            system.spawn(Ear, log, name=name)
        broker = system.spawn(Broker, Catalog(small_box()), name="broker")
        broker.tell(CapabilitiesOpen(frozenset({"a"}), frozenset()))
        broker.ask(order("withdrawn", run="q"), timeout=5)
        broker.tell(CancelJob("withdrawn"))
        broker.ask(order("done", run="q"), timeout=5)
        broker.ask(order("mine"), timeout=5)
        system.spawn(Hands, name="hands")
        eventually(lambda: len(heard(told, JobFinished)) == 3, what="all have ended")
        broker.stop()
        system.join(broker, timeout=5.0)
        assert store.ask(Purge(2**52), timeout=5) == 3
        again = system.spawn(Broker, Catalog(small_box()), name="broker")
        counts = again.ask(Snapshot(), timeout=5)
        assert (counts["queued"], counts["done"], counts["failed"]) == (0, 2, 1)
        assert "withdrawn" in again.ask(JobQuery("withdrawn"), timeout=5)["error"]
        shown = again.ask(JobQuery("done"), timeout=5)
        assert (shown["status"], shown["purged"], shown["results"]) == ("done", True, [])
        kept = again.ask(JobQuery("mine"), timeout=5)
        assert (kept["purged"], kept["results"]) == (False, [{"said": "mine"}])
        told.clear()
        again.ask(order("done", run="q"), timeout=5)
        (news,) = eventually(lambda: heard(told, JobFinished), 5, "its end is told again")
        assert news.error == PURGED and news.results == []
        assert len(store.ask(Query(kind="job", thread="job:done"), timeout=5)) == 3
        assert heard(console, Alert) == []
