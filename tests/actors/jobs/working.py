"""A broker and its ghouls on a simulated system, whose steps end when the test likes."""

from types import SimpleNamespace

from tests.actors.stage import Ear, Store, heard, small_box

from covend.actors.admission.catalog import Catalog
from covend.actors.jobs.broker import Broker
from covend.actors.jobs.ghoul import Ghoul, StepResult
from covend.actors.messages import (
    CapabilitiesOpen,
    DrainGhouls,
)
from covend.protocol import (
    Drained,
    JobQuery,
    Step,
    SubmitJob,
)

EVERY = frozenset({"a", "small", "b"})
STEPS = 3


class Calls:
    """The steps under way in the ghouls' helper threads; the test lets each end when it likes."""

    def __init__(self):
        self.open, self.begun = [], []
        self.answers = {}

    def Thread(self, target, name, daemon):
        return SimpleNamespace(start=lambda: self.open.append(target))

    def gate(self, gate, path, headers, body, epoch, index):
        key = headers["Idempotency-Key"]
        self.begun.append(key)
        outcome = self.answers.get(key, {"answer": {"of": key}})
        return StepResult(epoch, index, **outcome)

    def end_one(self, which=0):
        self.open.pop(which % len(self.open))()

    def end_all(self, system):
        for _ in range(100):
            system.advance(0.05)
            if not self.open:
                return
            self.end_one()
        raise AssertionError("the steps never end")


class Stage:
    def __init__(self, system, calls, ghouls=1):
        self.system, self.calls, self.records = system, calls, []
        self.dispatcher, self.coven = [], []
        system.spawn(Store, self.records, name="phylactery")
        system.spawn(Ear, [], name="console")
        system.spawn(Ear, self.dispatcher, name="dispatcher")
        system.spawn(Ear, self.coven, name="coven")
        self.start_broker()
        for index in range(ghouls):
            name = f"ghoul-{index}"
            system.spawn(Ghoul, "http://127.0.0.1:1", f"{name}@core", name=name)
        system.advance(3.0)

    def start_broker(self):
        self.broker = self.system.spawn(Broker, Catalog(small_box()), name="broker")
        self.broker.tell(CapabilitiesOpen(EVERY, frozenset()))

    def submit(self, name="j", steps=STEPS, capability="a"):
        order = SubmitJob(capability, [Step("/v1/x", {}) for _ in range(steps)], id=name)
        return self.broker.ask(order, timeout=5.0)

    def show(self, name="j"):
        return self.broker.ask(JobQuery(name), timeout=5.0)

    def drain(self, epoch=1):
        self.broker.tell(DrainGhouls(epoch, ("a",), 100.0, "coven@core"))
        self.system.advance(0.05)

    def drained(self):
        return [(one.epoch, one.boundaries) for one in heard(self.coven, Drained)]
