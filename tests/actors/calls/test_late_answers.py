"""What nobody waits for any more is stored and billed where it costs money, and never folded (P12).

The store, the actors and the provider are real; the core ends and begins again in some of them.
"""

import time

import pytest
from tests.actors.calls.bills import PRICE, late, race, spent
from tests.actors.calls.test_courier import serving
from tests.actors.running import completion, query

from covend.actors.calls import courier
from covend.actors.runs.desk import Desk
from covend.actors.runs.messages import Returned
from covend.patterns.answers.understanding import Raw
from covend.patterns.nesting import child_thread
from covend.phylactery.store import open_store
from covend.protocol import CancelJob
from covend.questions import CancelQuery, ShowQuery
from covend.testing import eventually


def raced(core, provider, asked=None):
    """A query that has ended while the slow one still works for it."""
    provider.hold("slow")
    thread = core.submit(asked or race())["id"]
    eventually(lambda: provider.keys("slow"), what="the slow one is asked")
    know = core.ended(thread)
    assert know["answer"] == "from quick"
    return thread, know


def test_a_paid_call_is_left_to_finish_when_a_quorum_closes_its_round(world, provider):
    """P12, P13: its answer comes after the end, is billed, and changes nothing else."""
    with world.core() as core:
        thread, know = raced(core, provider)
        assert spent(core, thread) == (PRICE, PRICE)
        provider.let_go()
        (body,) = late(core, thread)
        assert (body["status"], body["value"]) == ("ok", "from slow")
        assert spent(core, thread) == (2 * PRICE, 0)
        assert core.ended(thread) == know
        kinds = [entry["kind"] for entry in core.records(thread)]
        assert kinds == ["intend", "call", "call", "do", "know", "do"]
        calls = {call["responder"]: call for call in core.ask(ShowQuery(thread))["calls"]}
        assert (calls["slow"]["late"], calls["slow"]["status"]) == (True, "withdrawn")
        assert not calls["quick"]["late"]
        core.parked()


def test_an_ended_run_holds_no_actor_for_a_late_answer(world, provider):
    """P6: it is a row until the answer comes, and one again afterwards."""
    with world.core() as core:
        thread, _ = raced(core, provider)
        core.parked()
        provider.let_go()
        late(core, thread)
        core.parked()


def test_a_paid_call_is_left_to_finish_beyond_its_deadline(world, provider):
    """P12: the provider bills it however late it is; its kind says how long that may be (P10)."""
    provider.hold("slow")
    limits = {"max_cost_usd": 1.0, "max_latency_secs": 0.3}
    with world.core() as core:
        thread = core.submit(query("slow", side_effects=limits))["id"]
        assert core.ended(thread)["code"] == "latency_timeout"
        assert provider.left == 0
        provider.let_go()
        assert late(core, thread)[0]["value"] == "from slow"
        assert spent(core, thread) == (PRICE, 0)


def test_a_paid_call_of_a_cancelled_query_is_billed(world, provider):
    """P12, P14: the end stands, and so does the bill."""
    provider.hold("slow")
    with world.core() as core:
        thread = core.submit(query("slow"))["id"]
        eventually(lambda: provider.asked, what="the request")
        know = core.ask(CancelQuery(thread))["know"]
        provider.let_go()
        late(core, thread)
        assert spent(core, thread) == (PRICE, 0)
        assert core.ended(thread) == know
        assert know["status"] == "cancelled"


def test_nobody_is_asked_about_a_call_that_is_lost_when_it_is_late(world, provider):
    """P4, P13: it is recorded as lost, and what it may have cost stays reserved."""
    provider.hold("slow")
    provider.resets = 1
    with world.core() as core:
        thread = core.submit(query("slow", on_indeterminate="ask"))["id"]
        eventually(lambda: provider.asked, what="the request")
        core.ask(CancelQuery(thread))
        provider.let_go()
        assert late(core, thread)[0]["indeterminate"]
        assert spent(core, thread) == (0, PRICE)
        assert core.alerts() == []


def test_a_refusal_that_is_late_is_its_answer(world):
    """P12, P13: nobody waits, so nobody is asked again, and nothing was done."""
    with serving() as server:
        server.answers = [(503, "busy")]
        server.hold.clear()
        world.other(name="full", kind="system", url=server.url, cost={"per_call": PRICE})
        with world.core() as core:
            thread = core.submit(query("full"))["id"]
            eventually(lambda: server.seen, what="the request")
            core.ask(CancelQuery(thread))
            server.hold.set()
            assert late(core, thread)[0]["problem"].startswith("HTTP status 503")
            assert spent(core, thread) == (0, 0)
            core.parked()
        assert len(server.seen) == 1


def test_a_provider_that_is_still_at_it_when_it_is_late_is_not_asked_again(world):
    """P4, P13: it had the work before the crash, and what that may cost stays reserved."""
    with serving() as server:
        server.answers = [(409, "still at it")]
        server.hold.clear()
        world.other(name="long", kind="system", url=server.url, cost={"per_call": PRICE})
        with world.core() as core:
            thread = core.submit(query("long"))["id"]
            eventually(lambda: server.seen, what="the request")
        with world.core() as core:
            eventually(lambda: len(server.seen) == 2, what="it is asked again")
            core.ask(CancelQuery(thread))
            server.hold.set()
            (body,) = late(core, thread)
            assert (body["indeterminate"], spent(core, thread)) == (True, (0, PRICE))
        assert len(server.seen) == 2


def test_a_late_answer_of_a_closed_round_is_billed_while_the_run_goes_on(world, provider):
    """P12, P13: what the lost stage did not cost may be spent on what follows."""
    world.person("ann")
    provider.hold("slow")
    stages = [
        {"name": "one", "responders": [{"id": "slow"}], "accept_expression": "true",
         "timeout_secs": 0.3},
        {"name": "two", "responders": [{"id": "ann"}], "accept_expression": "true"},
    ]  # fmt: skip
    asked = query("slow", orchestration={"pattern": "waterfall", "stages": stages})
    with world.core() as core:
        thread = core.submit(asked)["id"]
        task = core.task("did:ann")
        provider.let_go()
        assert late(core, thread)[0]["value"] == "from slow"
        core.act(task, "submit", value="mine")
        know = core.ended(thread)
        assert (know["answer"], know["cost"]["settled"]) == ("mine", PRICE)


def test_what_is_late_takes_nobody_s_place_and_is_not_waited_for_without_bound(
    world, provider, monkeypatch
):
    """P10, P13: given up at last, what it may have cost stays reserved."""
    monkeypatch.setitem(courier.MAX_LATENCY, "system", 0.5)
    provider.hold("slow")
    with world.core(max_calls=1) as core:
        thread = core.submit(query("slow", side_effects={"max_latency_secs": 0.2}))["id"]
        assert core.ended(thread)["code"] == "latency_timeout"
        assert core.run(query("quick"))["answer"] == "from quick"
        eventually(lambda: provider.left, what="it is given up")
        core.parked()
        assert core.records(thread, "do") == []
        assert spent(core, thread) == (0, PRICE)


def test_there_are_no_more_late_calls_than_calls(world, provider):
    """Nothing grows without bound: the oldest is given up."""
    provider.hold("slow")
    with world.core(max_calls=2) as core:
        for count in range(1, 4):
            thread = core.submit(query("slow"))["id"]
            eventually(lambda n=count: len(provider.asked) == n, what="it is asked")
            core.ask(CancelQuery(thread))
        eventually(lambda: provider.left == 1, what="the first is given up")
        provider.let_go()
        late(core, thread)


def test_a_late_answer_that_was_lost_on_its_way_is_said_again(world, provider, monkeypatch):
    """P12: nobody else remembers it, so the courier keeps it until it is recorded."""
    monkeypatch.setattr(courier, "REPEAT_SECONDS", 0.2)
    lost, route = [], Desk.route

    def forgetful(self, thread, message):
        if isinstance(message, Returned) and not lost and "slow" in str(message.raw.body):
            lost.append(message)
            return
        route(self, thread, message)

    monkeypatch.setattr(Desk, "route", forgetful)
    with world.core() as core:
        thread, _ = raced(core, provider)
        provider.let_go()
        late(core, thread)
        core.parked()
    assert len(lost) == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_nothing_is_sent_anew_for_a_run_that_has_ended(world, provider, cancelled):
    """P4, P13: a crash while a late answer is due; what it may have cost stays reserved."""
    with world.core() as core:
        if cancelled:
            provider.hold("slow")
            thread = core.submit(query("slow"))["id"]
            eventually(lambda: provider.asked, what="the request")
            core.ask(CancelQuery(thread))
        else:
            thread, _ = raced(core, provider)
        before = core.records(thread)
    provider.let_go()
    asked = len(provider.asked)
    with world.core() as core:
        assert core.run(query("quick"))["answer"] == "from quick"
        core.parked()
        assert core.records(thread) == before
        assert spent(core, thread)[1] == PRICE
        assert core.row(thread)["state"] == "ended"
    assert len(provider.asked) == asked + 1


def test_nothing_is_sent_anew_for_a_round_that_has_closed(world, provider):
    """P4: what a run that goes on does not wait for any more, a restart does not send."""
    world.person("ann")
    provider.hold("slow")
    tiers = [
        {"name": "slow", "responders": [{"id": "slow"}], "expression": "true", "timeout_secs": 0.3},
        {"name": "ann", "responders": [{"id": "ann"}]},
    ]
    asked = query("slow", orchestration={"pattern": "escalate", "tiers": tiers})
    with world.core() as core:
        thread = core.submit(asked)["id"]
        task = core.task("did:ann")
    with world.core() as core:
        core.act(task, "submit", value="mine")
        assert core.ended(thread)["answer"] == "mine"
        assert spent(core, thread) == (0, PRICE)
    assert len(provider.asked) == 1


def test_a_tree_of_queries_never_spends_what_a_late_answer_may_still_cost(world, provider):
    """P13: the child gets what is neither settled nor reserved; then the late answer is billed."""
    child = {**query("quick"), "side_effects": {"max_cost_usd": 5.0}}
    asked = race(triggers=[{"name": "next", "query": child}])
    asked["side_effects"] = {"max_cost_usd": 0.75}
    with world.core() as core:
        thread, _ = raced(core, provider, asked)
        assert core.records(thread, "trigger")[0]["body"]["budget"] == 0.25
        next_ = child_thread(thread, "next")
        assert core.ended(next_)["answer"] == "from quick"
        provider.let_go()
        late(core, thread)
        bills = [spent(core, name) for name in (thread, next_)]
        assert bills == [(2 * PRICE, 0), (PRICE, 0)]
        assert sum(map(sum, bills)) <= 0.75


def test_a_late_answer_to_a_purged_run_is_let_go(world, provider):
    """D4: nothing is left that it could be billed to; the courier need not keep it."""
    with world.core() as core:
        thread = core.submit(query("quick"))["id"]
        core.ended(thread)
        core.parked()
    store = open_store(world.path)
    store.purge(time.time_ns() // 1000)
    store.close()
    with world.core() as core:
        before = core.records(thread)
        core.desk.tell(Returned(thread, "primary/0#1", Raw(body="late")))
        core.desk.tell(Returned(thread, "primary/9#1", Raw(body="to nobody")))
        assert core.run(query("quick"))["status"] == "fulfilled"  # the desk has seen both by now
        core.parked()
        assert core.records(thread) == before


# ── models of this box ───────────────────────────────────────────────────────────────────────


def test_a_job_of_this_box_is_withdrawn_where_nobody_works_on_it(world):
    """P12, S17: it costs no money; one that a ghoul has ends its step, and is stored as late."""
    world.model = lambda job: None
    with world.core() as core:
        thread = core.submit(query("model:a"))["id"]
        (job,) = eventually(lambda: list(world.submitted), what="the job")
        core.ask(CancelQuery(thread))
        eventually(lambda: world.cancelled == [CancelJob(job.id)], what="it is withdrawn")
        core.finish_job(job.id, completion("late"))
        assert late(core, thread)[0]["value"] == "late"
