"""Who is busy (429, 503) is left alone for a while, and asked again under the same key (P4)."""

import pytest
from tests.actors.running import World, query

from covend.actors.calls import courier
from covend.questions import CancelQuery, ListResponders, ShowQuery
from covend.testing import eventually

PRICE = 0.25


@pytest.fixture
def world(tmp_path, monkeypatch, provider):
    made = World(tmp_path / "store.db", monkeypatch)
    made.other(name="svc", kind="system", url=f"{provider.url}/svc", cost={"per_call": PRICE})
    return made


@pytest.fixture
def pauses(monkeypatch):
    """The pauses in seconds that were made; in truth each lasts a moment."""
    made, pause = [], courier.Courier.pause

    def quickly(self, errand, seconds):
        made.append(seconds)
        pause(self, errand, 0.01)

    monkeypatch.setattr(courier.Courier, "pause", quickly)
    return made


def test_who_says_for_how_long_it_is_busy_is_asked_again_then(world, provider, pauses):
    """P4, P13: nothing was done, so it is the same call, the same key and the same reserve."""
    provider.refusals, provider.retry_after = 2, "7"
    with world.core() as core:
        thread = core.submit(query("svc", side_effects={"max_cost_usd": 0.4}))["id"]
        assert core.ended(thread)["cost"] == {"settled": PRICE, "reserved": 0, "overrun": 0}
        assert len(core.records(thread, "call")) == len(core.records(thread, "do")) == 1
    assert pauses == [7.0, 7.0]
    assert provider.keys("svc") == [f"{thread}/primary/0#1"] * 3


def test_who_does_not_say_so_is_asked_ever_later_and_then_under_another_key(
    world, provider, pauses
):
    """P4: whoever keeps its refusal by the key gets another one; no attempt comes at once."""
    provider.refusals = 1000
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        assert core.ended(thread)["code"] == "responder_unavailable"
    numbers = [int(key.rpartition("#")[2]) for key in provider.keys("svc")]
    assert numbers == [1, 1, 1, 1, 2, 3]
    for seconds, least in zip(pauses[:3], (1, 2, 4), strict=True):
        assert least <= seconds <= 1.2 * least
    assert len(pauses) == 5 and all(0 < seconds <= 4.8 for seconds in pauses[3:])


def test_a_pause_that_ends_after_the_deadline_is_not_made(world, provider, pauses):
    """Nothing waits without a deadline, and nobody is asked sooner than it wants to be."""
    provider.refusals, provider.retry_after = 1000, "3000"
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        know = core.ended(thread)
        problems = [entry["body"]["problem"] for entry in core.records(thread, "do")]
    assert (know["code"], know["cost"]["reserved"]) == ("responder_unavailable", 0)
    assert pauses == []
    assert len(provider.asked) == 1
    assert problems[0].startswith("HTTP status 503")
    assert all("not asked: it is busy for another" in problem for problem in problems[1:])


def test_who_is_busy_with_one_query_is_not_away_for_all_others(world, provider, pauses):
    """P8: three attempts of one query are one failure."""
    provider.refusals = 1000
    with world.core() as core:
        core.run(query("svc"))
        core.parked()
        told = core.ask(ListResponders())["responders"]
        assert [one.get("available", True) for one in told if one["id"] == "svc"] == [True]
        provider.refusals = 0
        assert core.run(query("svc"))["answer"] == "from svc"


def test_a_call_that_pauses_has_no_place(world, provider):
    provider.refusals, provider.retry_after = 1, "30"
    world.other(name="other", kind="system", url=f"{provider.url}/other")
    with world.core(max_calls=1) as core:
        thread = core.submit(query("svc"))["id"]
        eventually(lambda: provider.asked, what="it is refused")
        assert core.run(query("other"))["answer"] == "from other"
        core.ask(CancelQuery(thread))


def test_a_free_call_that_pauses_and_is_waited_for_no_more_is_forgotten(
    world, provider, monkeypatch
):
    """P14: its pause ends without it, and harms no other call."""
    paused, pause = [], courier.Courier.pause

    def shortly(self, errand, seconds):
        pause(self, errand, 0.3)
        paused.append(errand.name)

    monkeypatch.setattr(courier.Courier, "pause", shortly)
    world.other(name="free", kind="system", url=f"{provider.url}/free")
    provider.refusals = 2
    with world.core() as core:
        thread = core.submit(query("free"))["id"]
        eventually(lambda: paused, what="it pauses")
        core.ask(CancelQuery(thread))
        before = core.system.find("courier")
        assert core.run(query("free"))["answer"] == "from free"
        assert before.alive
        assert core.records(thread, "do") == []
    assert (len(paused), len(provider.asked)) == (2, 3)


def test_what_was_refused_and_is_waited_for_no_more_costs_nothing(world, provider, monkeypatch):
    """P12, P13: the refusal is its answer."""
    paused, pause = [], courier.Courier.pause

    def noted(self, errand, seconds):
        pause(self, errand, seconds)
        paused.append(seconds)

    monkeypatch.setattr(courier.Courier, "pause", noted)
    provider.refusals, provider.retry_after = 1, "30"
    with world.core() as core:
        thread = core.submit(query("svc"))["id"]
        eventually(lambda: paused, what="it pauses")
        core.ask(CancelQuery(thread))
        (do,) = eventually(lambda: core.records(thread, "do"), what="the late answer")
        assert do["body"]["problem"].startswith("HTTP status 503")
        assert core.ask(ShowQuery(thread))["spent"]["reserved"] == 0
    assert len(provider.asked) == 1
