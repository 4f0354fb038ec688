"""Work that may have been done when the connection broke is asked for again, and paid once (P4)."""

import pytest
from tests.actors.calls.wire import http, wired
from tests.actors.running import World, completion, query

from covend.actors.calls import busy, courier
from covend.actors.jobs.book import UNCLEAR
from covend.actors.runs.commits import Commits
from covend.questions import CancelQuery, SettleCall
from covend.supervisors.backoff import Backoff
from covend.testing import eventually

PRICE = 0.25


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(busy, "LATER", Backoff(base=0.01, maximum=0.02))


@pytest.fixture
def world(tmp_path, monkeypatch, provider):
    made = World(tmp_path / "store.db", monkeypatch)
    made.other(name="svc", kind="system", url=f"{provider.url}/svc", cost={"per_call": PRICE})
    return made


def test_a_connection_reset_after_the_work_was_done_is_paid_once(world, provider):
    """P4, P13: another attempt, a record of its own, under the key of the first."""
    provider.resets = 2
    with world.core() as core:
        thread = core.submit(query("svc", side_effects={"max_cost_usd": 0.4}))["id"]
        know = core.ended(thread)
        calls = [entry["body"] for entry in core.records(thread, "call")]
        failed = core.records(thread, "do")[0]["body"]
    assert know["answer"] == "from svc"
    assert know["cost"] == {"settled": PRICE, "reserved": 0, "overrun": 0}
    assert provider.keys("svc") == [f"{thread}/primary/0#1"] * 3
    assert provider.paid == [f"{thread}/primary/0#1"]
    assert [call["attempt"] for call in calls] == [1, 2, 3]
    assert {call["key"] for call in calls} == set(provider.paid)
    assert (failed["transport"], failed["indeterminate"]) == (True, True)


def test_a_provider_that_is_still_at_it_is_asked_until_it_is_done(world, provider, monkeypatch):
    """P4: the connection was reset in the middle of the work; that is no refusal of the key."""
    monkeypatch.setattr(courier, "AGAIN_SECONDS", 0.05)
    provider.resets, provider.conflicts = 1, 4
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        assert core.ended(thread)["answer"] == "from svc"
        assert len(core.records(thread, "call")) == 2
    assert provider.keys("svc") == 6 * provider.paid == 6 * [f"{thread}/primary/0#1"]


def test_a_provider_that_stays_at_it_is_asked_no_longer_than_its_deadline(world, provider):
    """Nothing waits without a deadline; what it may cost stays reserved (P13)."""
    provider.resets, provider.conflicts = 1, 1000
    with world.core() as core:
        know = core.run(query("svc", side_effects={"max_latency_secs": 0.5}))
        core.parked()
    assert (know["code"], know["cost"]["reserved"]) == ("latency_timeout", PRICE)


def test_what_a_lost_work_may_cost_stays_reserved(world, provider):
    """P13: every attempt was lost; it was paid for, and nobody here can know."""
    provider.resets = 3
    with world.core() as core:
        know = core.run(query("svc", side_effects={"max_cost_usd": 1.0}))
    assert know["code"] == "responder_unavailable"
    assert know["cost"]["reserved"] == PRICE
    assert len(provider.paid) == 1


def test_work_that_was_refused_is_called_anew(world, provider):
    """P4: who keeps an answer by its key would refuse it for ever."""
    provider.refusals = 1 + busy.PAUSES
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        assert core.ended(thread)["answer"] == "from svc"
    keys = [f"{thread}/primary/0#{number}" for number in (1, 2)]
    assert provider.keys("svc") == [keys[0]] * (1 + busy.PAUSES) + keys[1:]
    assert len(provider.paid) == 1


def test_a_provider_that_is_busy_when_asked_again_leaves_the_work_its_key(world, provider):
    """P4, P13: it may have been done, so nothing is asked for under another key, nor is it free."""
    provider.resets, provider.busy = 1, 1 + busy.PAUSES
    with world.core() as core:
        thread = core.submit(query("svc", side_effects={"max_cost_usd": 0.4}))["id"]
        assert core.ended(thread)["cost"] == {"settled": PRICE, "reserved": 0, "overrun": 0}
        second = core.records(thread, "do")[1]["body"]
    assert set(provider.keys("svc")) == set(provider.paid) == {f"{thread}/primary/0#1"}
    assert (second["transport"], second["indeterminate"]) == (True, True)


def test_a_provider_that_stays_busy_leaves_what_the_work_may_cost_reserved(world, provider):
    """P13."""
    provider.resets, provider.busy = 1, 2 + busy.PAUSES
    with world.core() as core:
        know = core.run(query("svc", side_effects={"max_cost_usd": 0.4}))
    assert (know["code"], know["cost"]["reserved"]) == ("responder_unavailable", PRICE)


def test_an_execution_that_dies_between_two_attempts_sends_the_second_one(
    world, provider, monkeypatch
):
    """P4: both have one key, and are two errands: the courier still has the first one's answer."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 60.0)  # it is told as soon as it asks
    provider.resets = 1
    died, make = [], Commits.make

    def mortal(self, k, drafts, *rest):
        if not died and any(draft.body.get("attempt") == 2 for draft in drafts):
            died.append(self.ctx.name)
            raise RuntimeError("it dies here")
        make(self, k, drafts, *rest)

    monkeypatch.setattr(Commits, "make", mortal)
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        assert core.ended(thread)["answer"] == "from svc"
    assert died == [thread]
    assert provider.keys("svc") == 2 * provider.paid == 2 * [f"{thread}/primary/0#1"]


def test_a_core_killed_in_the_middle_of_lost_work_asks_for_it_under_its_key(
    world, provider, monkeypatch
):
    """P4: also where its provider is still at it when it is asked again."""
    monkeypatch.setattr(courier, "AGAIN_SECONDS", 0.05)
    provider.resets = 1
    provider.hold("svc")
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        eventually(lambda: provider.asked, what="the first attempt")
    provider.let_go()
    provider.conflicts = 2
    with world.core() as core:
        assert core.ended(thread)["answer"] == "from svc"
    assert set(provider.keys("svc")) == set(provider.paid) == {f"{thread}/primary/0#1"}


def test_a_conflict_is_a_refusal_where_nobody_was_asked_before(world):
    """P4: nothing is under way for a new key."""
    with wired(http(409, "no")) as wire:
        world.other(name="strict", kind="system", url=wire.url)
        with world.core() as core:
            assert core.run(query("strict"))["code"] == "responder_unavailable"
        assert len(wire.heads) == 1


def test_a_function_that_heeds_no_keys_is_not_called_again_after_a_crash(world):
    """P4: its responder says so."""
    world.scripted("once", "an answer", idempotent=False)
    world.held.clear()
    with world.core() as core:
        thread = core.submit(query("once"))["id"]
        eventually(lambda: world.called, what="the first call")
    with world.core() as core:
        problem = core.ended(thread)["partial"][0]["problem"]
    world.held.set()
    assert problem == "nobody knows whether it was carried out: the core was started again"
    assert len(world.called) == 1


@pytest.mark.parametrize("how", [{"on_indeterminate": "fail"}, {}])
def test_work_that_must_not_be_done_twice_is_not_asked_for_again(world, provider, how):
    """P4: the query says so, or the responder heeds no keys."""
    world.other(name="once", kind="system", url=f"{provider.url}/once", idempotent=False)
    provider.resets = 1
    with world.core() as core:
        know = core.run(query("svc" if how else "once", **how))
    assert (know["status"], len(provider.asked)) == ("error", 1)
    assert "nobody knows whether it was carried out" in know["partial"][0]["problem"]


@pytest.mark.parametrize(("how", "status"), [("again", "fulfilled"), ("failed", "error")])
def test_an_operator_is_asked_about_work_that_was_lost(world, provider, monkeypatch, how, status):
    """P4, ``ask``: again is under its own key, and its provider may still be at it."""
    monkeypatch.setattr(courier, "AGAIN_SECONDS", 0.05)
    provider.resets, provider.conflicts = 1, 2
    with world.core() as core:
        thread = core.submit(query("svc", on_indeterminate="ask"))["id"]
        eventually(core.alerts, what="an alert")
        assert core.row(thread)["state"] == "open"
        core.ask(SettleCall(thread, "primary/0#1", how))
        assert core.ended(thread)["status"] == status
    assert len(provider.paid) == 1
    assert set(provider.keys("svc")) == set(provider.paid)


def test_what_an_operator_has_to_settle_holds_no_place(world, provider):
    """P4: it may take days."""
    world.other(name="other", kind="system", url=f"{provider.url}/other")
    provider.resets = 1
    with world.core(max_calls=1) as core:
        thread = core.submit(query("svc", on_indeterminate="ask"))["id"]
        eventually(core.alerts, what="an alert")
        assert core.run(query("other"))["answer"] == "from other"
        core.ask(CancelQuery(thread))


def test_nothing_is_left_to_settle_of_a_query_that_was_cancelled(world, provider):
    """P4, P14: work for which nobody waits is not done again."""
    provider.resets = 1
    with world.core() as core:
        thread = core.submit(query("svc", on_indeterminate="ask"))["id"]
        eventually(core.alerts, what="an alert")
        core.ask(CancelQuery(thread))
        assert core.refuses(SettleCall(thread, "primary/0#1", "again"))["code"] == "not_unclear"
    assert len(provider.asked) == 1


# ── models of this box ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def hesitant(world):
    """The ghouls of this box never end a job by themselves."""
    world.model = lambda job: None
    return world


def submitted(world, count=1):
    return eventually(lambda: world.submitted[count - 1 : count], what="the job")[0]


@pytest.mark.parametrize(("policy", "once"), [
    ("redispatch", False), ("fail", True), ("ask", True),
])  # fmt: skip
def test_a_query_says_whether_a_step_may_be_made_again(hesitant, policy, once):
    """P4: by default it may, since a model of this box costs time and no money."""
    with hesitant.core() as core:
        thread = core.submit(query("model:a", on_indeterminate=policy))["id"]
        assert submitted(hesitant).once is once
        core.ask(CancelQuery(thread))


def test_a_job_whose_worker_died_in_the_middle_fails_where_the_query_wants_that(hesitant):
    """P4, ``fail``."""
    with hesitant.core() as core:
        thread = core.submit(query("model:a", on_indeterminate="fail"))["id"]
        core.finish_job(submitted(hesitant).id, error=UNCLEAR, unclear=True)
        know = core.ended(thread)
        assert "nobody knows whether" in know["partial"][0]["problem"]
    assert len(hesitant.submitted) == 1


@pytest.mark.parametrize("policy", ["redispatch", "fail", "ask"])
def test_a_job_is_known_to_the_broker_whatever_becomes_of_the_core(hesitant, policy):
    """P4: its story is recorded, so that nothing is unclear about it."""
    with hesitant.core() as core:
        thread = core.submit(query("model:a", on_indeterminate=policy))["id"]
        first = submitted(hesitant)
    with hesitant.core() as core:
        assert submitted(hesitant, 2) == first
        core.finish_job(first.id, completion("done"))
        assert core.ended(thread)["answer"] == "done"
        assert core.alerts() == []


def test_an_operator_has_a_job_whose_worker_died_done_again(hesitant):
    """P4, ``ask``: as another job, since the first one has ended."""
    with hesitant.core() as core:
        thread = core.submit(query("model:a", on_indeterminate="ask"))["id"]
        first = submitted(hesitant)
        core.finish_job(first.id, error=UNCLEAR, unclear=True)
        eventually(core.alerts, what="an alert")
        hesitant.model = lambda job: completion("done")
        core.ask(SettleCall(thread, "primary/0#1", "again"))
        assert core.ended(thread)["answer"] == "done"
    assert submitted(hesitant, 2).id == f"{first.id}-1"
