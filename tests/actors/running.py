"""A core as far as queries need one: a real store, real threads, scripted responders."""

import threading
from contextlib import contextmanager
from functools import partial

import msgspec
from tests.actors.stage import Ear, heard, small_box

from covend import functions
from covend.actors.calls.courier import Courier
from covend.actors.messages import Alert
from covend.actors.people.herald import Herald
from covend.actors.responders.registry import Registry
from covend.actors.runs.desk import RUNS, Desk
from covend.actors.runs.messages import Look
from covend.actors.runs.story import wall_clock
from covend.actors.runs.timekeeper import Timekeeper
from covend.config import Queries, ResponderEntry
from covend.phylactery.actor import Phylactery
from covend.phylactery.messages import Query, Tasks, Thread
from covend.phylactery.store import open_store
from covend.protocol import CancelJob, JobFinished, SubmitJob
from covend.questions import ActOnTask, CancelQuery, ListTasks, RecordsOf, ShowQuery, SubmitQuery
from covend.runtime import Actor, ReplyError, ThreadSystem
from covend.supervisors import (
    ChildSpec,
    DynamicSupervisor,
    Supervisor,
    SupervisorSpec,
)
from covend.supervisors.core_tree import CORE_INTENSITY, CORE_PERIOD, RUNS_SPEC
from covend.testing import eventually


class Clock:
    """The wall clock, which a test can set forward."""

    def __init__(self):
        self.ahead = 0

    def __call__(self):
        return wall_clock() + self.ahead

    def forward(self, seconds):
        self.ahead += round(seconds * 1e6)


class Broker(Actor):
    """Runs jobs at once, or when told to; a job of a known id is never run again."""

    def __init__(self, world):
        self.world = world
        self.ended = world.jobs

    def on_receive(self, message):
        if isinstance(message, SubmitJob):
            self.world.submitted.append(message)
            if message.id not in self.ended:
                answer = self.world.model(message)
                if answer is None:
                    return message.id
                self.world.paid.append(message.id)
                self.ended[message.id] = answer
            result = self.ended[message.id]
            error = result if isinstance(result, str) else None
            news = JobFinished(message.id, error, [] if error else [result])
            self.ctx.tell(self.ctx.system.address(message.tell), news)
            return message.id
        if isinstance(message, CancelJob):
            self.world.cancelled.append(message)
        return None


def completion(text, confidence=None):
    """A chat completion that says this."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if confidence is not None:
        choice["logprobs"] = {"content": [{"token": text, "logprob": confidence}]}
    return {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}


class World:
    """What outlives a core: the store's file, the providers and what they were paid for."""

    def __init__(self, path, monkeypatch):
        self.path = path
        self.max_pages = None
        self.clock = Clock()
        self.answers = {}
        self.called = []
        self.jobs, self.submitted, self.paid, self.told = {}, [], [], []
        self.cancelled = []
        self.through = self.tell
        self.entries = []
        self.held = threading.Event()
        self.held.set()
        self.model = lambda job: completion(f"from {job.capability}")
        monkeypatch.setitem(functions.BUILT_IN, "scripted", self.function)

    def function(self, asked, name):
        """The responders of kind pattern: ``answers[name]``, a value or a function of what is
        asked; an exception is raised."""
        self.called.append(asked["key"])
        self.held.wait(10)
        answer = self.answers[name]
        answer = answer(asked) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def scripted(self, name, answer, **more):
        """A responder whose answer is given here."""
        self.answers[name] = answer
        entry = {"name": name, "kind": "pattern", "function": f"scripted:{name}", **more}
        self.entries.append(msgspec.convert(entry, ResponderEntry))

    def person(self, name, **more):
        entry = {"name": name, "kind": "actor", "did": f"did:{name}", **more}
        self.entries.append(msgspec.convert(entry, ResponderEntry))

    def other(self, **entry):
        self.entries.append(msgspec.convert(entry, ResponderEntry))

    def box(self, **limits):
        return small_box(responder=tuple(self.entries), queries=Queries(**limits))

    def tell(self, messages):
        self.told += [(one.channel, one.title, one.text) for one in messages]
        return [True] * len(messages)

    @contextmanager
    def core(self, **limits):
        """One life of the core; what it leaves is in the store."""
        with ThreadSystem(node="core") as system:
            yield Core(system, self, self.box(**limits))


class Core:
    """The actors of queries, and what one asks of them."""

    def __init__(self, system, world, box):
        self.system, self.world = system, world
        self.console = []
        clock = world.clock
        store = partial(open_store, max_pages=world.max_pages)
        system.spawn(Phylactery, world.path, open_with=store, name="phylactery")
        system.spawn(Ear, self.console, name="console")
        system.spawn(Broker, world, name="broker")
        children = [
            ChildSpec("registry", (Registry, (box, clock))),
            ChildSpec("herald", (Herald, (box, clock, world.through))),
            ChildSpec("courier", (Courier, (box, clock))),
            ChildSpec("desk", (Desk, (box, clock))),
            ChildSpec(RUNS, (DynamicSupervisor, (RUNS_SPEC,)), kind="supervisor"),
            ChildSpec("timekeeper", (Timekeeper, (clock,))),
        ]
        tree = SupervisorSpec("core", "rest_for_one", children, CORE_INTENSITY, CORE_PERIOD)
        system.spawn(Supervisor, tree, name="core")
        self.desk, self.timekeeper = system.address("desk"), system.address("timekeeper")

    def ask(self, message, seconds=10.0):
        return self.desk.ask(message, timeout=seconds)

    def submit(self, query, key=None, by=None):
        return self.ask(SubmitQuery(query, key, by))

    def run(self, query, key=None):
        """Submits, and waits for the end: its ``know`` body."""
        answer = self.submit(query, key)
        assert "refused" not in answer, answer
        return self.ended(answer["id"])

    def ended(self, thread, seconds=10.0):
        def once():
            found = self.ask(ShowQuery(thread))
            return found["know"] if found.get("state") == "ended" else None

        return eventually(once, seconds, f"the end of {thread}")

    def records(self, thread, kind=None):
        query = Query(thread=thread, kind=kind, newest_first=False)
        return self.system.address("phylactery").ask(query, timeout=5.0)

    def row(self, thread):
        return self.system.address("phylactery").ask(Thread(thread), timeout=5.0)

    def follow(self, thread, after=0, wait=5.0):
        return self.ask(RecordsOf(thread, after, wait), 20.0)

    def executions(self):
        return [info.name for info in self.system.actors() if info.name.startswith("q-")]

    def parked(self):
        eventually(lambda: not self.executions(), 10, "every run is passivated")

    def task(self, did, seconds=5.0):
        """The first open task of a person."""

        def once():
            page = self.ask(ListTasks(did))["tasks"]
            return next((task for task in page if task["state"] == "open"), None)

        return eventually(once, seconds, f"a task for {did}")

    def act(self, task, act, did=None, **more):
        return self.ask(ActOnTask(task["id"], act, did or task["did"], **more))

    def task_row(self, thread):
        """The first task of a run as the store has it."""
        return self.system.address("phylactery").ask(Tasks(thread=thread), timeout=5.0)[0]

    def ends(self, thread):
        return self.records(thread, "intend")[0]["body"]["ends"]

    def finish_job(self, name, result=None, **more):
        """A ghoul has ended a job, with this or with an error."""
        results = [] if result is None else [result]
        news = JobFinished(name, more.pop("error", None), results, **more)
        self.system.address("courier").tell(news)

    def cancel(self, thread):
        return self.ask(CancelQuery(thread))

    def forward(self, seconds):
        """Lets time pass."""
        self.world.clock.forward(seconds)
        self.timekeeper.tell(Look())

    def alerts(self):
        return heard(self.console, Alert)

    def refuses(self, message):
        try:
            return self.ask(message)["refused"]
        except ReplyError as error:
            raise AssertionError(f"not refused, but failed: {error}") from error


def query(*responders, question="What is it?", **more):
    """A query of these responders by id."""
    return {"question": question, "responders": [{"id": name} for name in responders], **more}
