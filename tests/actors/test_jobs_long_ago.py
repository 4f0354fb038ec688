"""A broker of many jobs: it keeps and reads back only what may still be asked for."""

from tests.actors.stage import Ear, heard, small_box

from covend.actors import broker as module
from covend.actors import job_records
from covend.actors.broker import Broker
from covend.actors.catalog import Catalog
from covend.actors.messages import Snapshot
from covend.phylactery.actor import Phylactery
from covend.phylactery.messages import Query
from covend.protocol import CancelJob, JobFinished, JobQuery, Step, SubmitJob
from covend.runtime import ThreadSystem
from covend.testing import eventually


def order(name):
    return SubmitJob("a", [Step("/v1/x", {})], id=name, tell="waiter@core")


def test_jobs_that_ended_long_ago_are_forgotten_and_still_known(tmp_path, monkeypatch):
    """P4: whoever asks for one again hears its end, however many came after it."""
    monkeypatch.setattr(module, "CHECKPOINT", 10)
    monkeypatch.setattr(job_records, "KEEP_ENDED", 5)
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
