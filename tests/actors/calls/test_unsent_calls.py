"""What was never sent costs nothing, and what is sent was waited for (P13, P14)."""

import threading

from tests.actors.calls.bills import PRICE, late, race, spent
from tests.actors.running import query

from covend.actors.calls import courier
from covend.questions import CancelQuery
from covend.testing import eventually


def test_a_paid_call_that_was_never_sent_costs_nothing(world, provider):
    """P13: what was reserved for it is free again."""
    provider.hold("quick", "slow")
    with world.core(max_calls=1) as core:
        thread = core.submit(race())["id"]
        eventually(lambda: provider.asked, what="one of them is asked")
        eventually(lambda: len(core.records(thread, "call")) == 2, what="both are called")
        core.ask(CancelQuery(thread))
        (unsent,) = late(core, thread)
        assert (unsent["status"], unsent["cost"]) == ("error", 0)
        assert "before it was sent" in unsent["problem"]
        provider.let_go()
        late(core, thread, 2)
        assert spent(core, thread) == (PRICE, 0)
    assert len(provider.asked) == 1


def test_a_paid_call_whose_deadline_passed_before_its_turn_costs_nothing(world, provider):
    """P13: what was reserved for it is there for the next stage."""
    provider.hold("slow")
    stages = [
        {"name": "one", "responders": [{"id": "quick"}], "timeout_secs": 1.0},
        {"name": "two", "responders": [{"id": "ann"}]},
    ]
    world.person("ann")
    with world.core(max_calls=1) as core:
        first = core.submit(query("slow"))["id"]
        eventually(lambda: provider.asked, what="the call that is in the way")
        asked = query("quick", orchestration={"pattern": "waterfall", "stages": stages})
        thread = core.submit({**asked, "side_effects": {"max_cost_usd": PRICE}})["id"]
        core.task("did:ann")
        (unsent,) = late(core, thread)
        assert "before it was sent" in unsent["problem"]
        assert spent(core, thread) == (0, 0)
        core.ask(CancelQuery(first))
        provider.let_go()
        late(core, first)
    assert len(provider.asked) == 1


def test_a_place_that_is_free_at_the_deadline_of_all_is_nobody_s(world, provider, monkeypatch):
    """P13: what is sent then is paid for, and cannot be in time; the run says so a moment later."""
    overdue, withdraw = [], courier.Courier.withdraw

    def after_the_others(self, name):
        if not self.errands[name].begun and name not in overdue:
            self.ctx.tell(self.ctx.me, courier.Overdue(name))
        else:
            withdraw(self, name)
        overdue.append(name)

    monkeypatch.setattr(courier.Courier, "take_back", lambda self, names: None)
    monkeypatch.setattr(courier.Courier, "withdraw", after_the_others)
    provider.hold("quick", "slow")
    limits = {"max_cost_usd": 1.0, "max_latency_secs": 0.5}
    with world.core(max_calls=1) as core:
        thread = core.submit(query("quick", "slow", side_effects=limits))["id"]
        eventually(lambda: len(overdue) == 3, what="the deadline of both has passed")
        (unsent,) = late(core, thread)
        assert "before it was sent" in unsent["problem"]
        provider.let_go()
        late(core, thread, 2)
        assert spent(core, thread) == (PRICE, 0)
    assert len(provider.asked) == 1


def test_a_paid_call_that_comes_to_the_courier_too_late_costs_nothing(world, provider, monkeypatch):
    """P13: nobody was asked, so what was reserved for it is free again."""
    busy, dispatch = threading.Event(), courier.Courier.dispatch

    def slowly(self, order):
        busy.wait(10)
        dispatch(self, order)

    monkeypatch.setattr(courier.Courier, "dispatch", slowly)
    limits = {"max_cost_usd": 1.0, "max_latency_secs": 0.2}
    with world.core() as core:
        thread = core.submit(query("slow", side_effects=limits))["id"]
        assert core.ended(thread)["code"] == "latency_timeout"
        busy.set()
        assert "before it was sent" in late(core, thread)[0]["problem"]
        assert spent(core, thread) == (0, 0)
    assert provider.asked == []


def test_a_call_that_is_withdrawn_while_the_courier_is_busy_holds_no_place(world, monkeypatch):
    """P14: what is taken back never overtakes what it takes back."""
    busy, dispatch, orders = threading.Event(), courier.Courier.dispatch, []

    def slowly(self, order):
        orders.append(order)
        busy.wait(10)
        dispatch(self, order)

    monkeypatch.setattr(courier.Courier, "dispatch", slowly)
    world.scripted("free", "done")
    world.other(name="hog", kind="system", command=["sleep", "60"])
    with world.core(max_calls=1) as core:
        first = core.submit(query("free"))["id"]
        eventually(lambda: orders, what="the courier is at something else")
        core.cancel(core.submit(query("hog"))["id"])
        busy.set()
        core.ended(first)
        assert core.run(query("free"))["answer"] == "done"
