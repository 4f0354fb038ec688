"""The book of ghoul jobs: nothing lost, nothing done twice, whatever order things come in."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from covend.actors.jobs.book import JobBook
from covend.protocol import Job, Step

STEPS = 3
GHOULS = ("g0", "g1")
JOBS = ("j0", "j1", "j2")
EVERY = frozenset({"small", "large"})


def job(name, capability="small"):
    steps = [Step("/v1/chat/completions", {"n": n}) for n in range(STEPS)]
    return Job(id=name, capability=capability, klass="ritual", steps=steps)


def test_a_job_given_back_goes_on_after_its_boundary():
    book = JobBook()
    book.hello("g0", "g0@w", None, 0, 0.0)
    book.submit(job("j0"), 0.0)
    (order,) = book.assign(EVERY, 0.0)
    entry = book.owns("g0", order.epoch, "j0")
    book.step(entry, 0, {"r": 0})
    book.park(frozenset({"small"}))
    book.give_back(entry)
    (again,) = book.assign(EVERY, 1.0)
    assert again.job.done == 1 and again.epoch > order.epoch
    assert book.jobs["j0"].parked == 1


def test_a_stale_ghoul_owns_nothing():
    """S8's habit: what an old epoch reports is dropped."""
    book = JobBook()
    book.hello("g0", "g0@w", None, 0, 0.0)
    book.submit(job("j0"), 0.0)
    (order,) = book.assign(EVERY, 0.0)
    assert book.silent(10.0, 5.0) == ["g0"]
    book.hello("g1", "g1@w", None, 0, 10.0)
    (other,) = book.assign(EVERY, 10.0)
    assert book.owns("g0", order.epoch, "j0") is None
    assert book.owns("g1", other.epoch, "j0") is not None


def test_a_ghoul_that_says_it_still_works_keeps_its_job_over_a_restart_of_the_core():
    book = JobBook(epoch=1000)
    book.submit(job("j0"), 0.0)
    book.hello("g0", "g0@w", "j0", 7, 0.0)
    assert book.assign(EVERY, 0.0) == []
    assert book.owns("g0", 7, "j0") is not None


def test_a_ghoul_that_gave_its_job_back_does_not_get_it_again_by_older_news():
    """S17: what it said before it put the job down may be heard after that."""
    book = JobBook()
    book.hello("g0", "g0@w", None, 0, 0.0)
    book.submit(job("j0"), 0.0)
    (order,) = book.assign(EVERY, 0.0)
    book.give_back(book.jobs["j0"])
    book.hello("g0", "g0@w", "j0", order.epoch, 0.1)
    assert (book.jobs["j0"].status, book.ghouls["g0"].job) == ("queued", None)


def test_nothing_is_in_doubt_about_a_job_that_a_living_ghoul_put_down():
    """P4: it has seen the order, and says that it has no job."""
    book = JobBook()
    book.hello("g0", "g0@w", None, 0, 0.0)
    book.submit(msgspec.structs.replace(job("j0"), once=True), 0.0)
    (order,) = book.assign(EVERY, 0.0)
    book.hello("g0", "g0@w", None, order.epoch, 0.1)
    assert book.doubtful() == []
    (again,) = book.assign(EVERY, 0.2)
    book.silent(10.0, 5.0)
    assert again.epoch > order.epoch
    assert [entry.job.id for entry in book.doubtful()] == ["j0"]


def test_only_open_capabilities_are_handed_out():
    book = JobBook()
    book.hello("g0", "g0@w", None, 0, 0.0)
    book.submit(job("j0", "large"), 0.0)
    assert book.assign(frozenset({"small"}), 0.0) == []
    assert list(book.waiting()) == ["j0"]


class Jobs(RuleBasedStateMachine):
    """Ghouls come, work, fall silent and come back; each result is taken once, in order."""

    def __init__(self):
        super().__init__()
        self.book = JobBook()
        self.now = 0.0
        self.orders = {}
        self.taken = {name: [] for name in JOBS}

    @rule(name=st.sampled_from(JOBS))
    def submit(self, name):
        self.book.submit(job(name), self.now)

    @rule(name=st.sampled_from(GHOULS))
    def hello(self, name):
        order = self.orders.get(name)
        known = self.book.owns(name, order.epoch, order.job.id) if order else None
        self.book.hello(name, f"{name}@w", order.job.id if known else None, 0, self.now)
        if not known:
            self.orders.pop(name, None)

    @rule()
    def assign(self):
        for order in self.book.assign(EVERY, self.now):
            self.orders[order.ghoul] = order

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), stale=st.booleans(), repeat=st.booleans())
    def step(self, data, stale, repeat):
        ghoul = data.draw(st.sampled_from(sorted(self.orders)))
        order = self.orders[ghoul]
        name = order.job.id
        epoch = order.epoch - 1 if stale else order.epoch
        entry = self.book.owns(ghoul, epoch, name)
        assert not (stale and entry)
        if entry is None:
            return
        index = len(entry.results) - (1 if repeat and entry.results else 0)
        if index < STEPS and self.book.step(entry, index, {"index": index}):
            self.taken[name].append(index)
        if len(entry.results) == STEPS:
            self.book.end(entry, None)
            del self.orders[ghoul]

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def park(self, data):
        ghoul = data.draw(st.sampled_from(sorted(self.orders)))
        order = self.orders.pop(ghoul)
        entry = self.book.owns(ghoul, order.epoch, order.job.id)
        if entry is not None:
            self.book.park(frozenset({entry.job.capability}))
            self.book.give_back(entry)

    @rule()
    def silence(self):
        self.now += 10.0
        for ghoul in self.book.silent(self.now, 5.0):
            self.orders.pop(ghoul, None)

    @invariant()
    def every_result_is_taken_once_and_in_order(self):
        for name, taken in self.taken.items():
            assert taken == list(range(len(taken)))
            if name in self.book.jobs:
                assert len(self.book.jobs[name].results) == len(taken)

    @invariant()
    def no_two_ghouls_have_one_job_and_no_job_is_lost(self):
        held = [ghoul.job for ghoul in self.book.ghouls.values() if ghoul.job]
        assert len(held) == len(set(held))
        for name, entry in self.book.jobs.items():
            if entry.status in ("running", "parking"):
                assert name in held
            elif entry.status == "queued":
                assert name not in held


Jobs.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestJobs = Jobs.TestCase
