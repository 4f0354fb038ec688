"""A person's call: accept with an eta, decline, reminders, delegates (P18)."""

from __future__ import annotations

from tools.golden.play import START, Play, ids, intend, llm, person, query

from covend.patterns.reducers import CURRENT
from covend.patterns.rounds import is_overtaken, reminder_of
from covend.patterns.state import SECOND


def asked(secs: float = 3600.0, **who: object) -> Play:
    return Play(intend(query("p"), person("p", **who), secs=secs, reducer=CURRENT))


def dues(body: dict[str, object]) -> dict[str, float]:
    """When a record's timers are due, in seconds after the start."""
    timers = body["timers"]
    assert isinstance(timers, list)
    return {each["name"]: (each["due"] - START) / SECOND for each in timers}


def test_reminders_come_at_half_and_four_fifths_of_the_sla_then_the_delegate() -> None:
    call = asked(sla_secs=1000, delegates=["did:q"]).called("primary/0#1")
    assert dues(call) == {
        "deadline:primary/0#1": 3600,
        "remind:primary/0#1:50": 500,
        "remind:primary/0#1:80": 800,
        "delegate:primary/0#1": 1000,
    }


def test_a_timer_that_reminds_somebody_says_whose_call_it_is() -> None:
    """P18: and of the others none is a reminder."""
    pattern = {"pattern": "escalate", "tiers": [{"name": "t", "responders": ids("p")}]}
    body = query("p", pattern=pattern)
    [call] = Play(intend(body, person("p", sla_secs=9, delegates=["did:q"]))).bodies("call")
    names = dues(call)
    assert {reminder_of(name) for name in names if name.startswith("remind")} == {"tier:0/0#1"}
    assert {reminder_of(name) for name in names if not name.startswith("remind")} == {""}
    assert reminder_of("end") == ""


def test_without_an_sla_reminders_follow_the_deadline() -> None:
    assert dues(asked(secs=100.0, delegates=["did:q"]).called("primary/0#1")) == {
        "deadline:primary/0#1": 100,
        "remind:primary/0#1:50": 50,
        "remind:primary/0#1:80": 80,
    }


def test_nothing_is_due_after_the_deadline() -> None:
    timers = dues(asked(secs=100.0, sla_secs=150, delegates=["did:q"]).called("primary/0#1"))
    assert timers == {"deadline:primary/0#1": 100, "remind:primary/0#1:50": 75}


def test_an_eta_moves_the_deadline_and_its_timer_once() -> None:
    play = tier(60).accept("tier:0/0", eta=90)
    (learn,) = play.drafts
    assert learn.kind == "learn"
    assert dues(learn.body) == {"deadline:tier:0/0#1": 90}
    assert play.passes(60).drafts == []
    assert play.open == ["tier:0/0"]
    assert play.passes(30).end["code"] == "latency_timeout"


def test_an_eta_never_moves_past_the_end_of_the_query() -> None:
    play = asked(secs=100.0).accept("primary/0", eta=500)
    assert play.k.calls["primary/0#1"].deadline == play.k.plan.ends
    assert play.passes(100).end["code"] == "latency_timeout"


def test_an_earlier_eta_neither_shortens_the_wait_nor_counts() -> None:
    play = asked(secs=100.0).accept("primary/0", eta=5)
    assert play.drafts == []
    assert play.k.calls["primary/0#1"].extensions == 0


def tier(secs: float, **who: object) -> Play:
    """A person who has so long to answer, in a query that has an hour."""
    pattern = {
        "pattern": "escalate",
        "tiers": [{"name": "t", "responders": ids("p"), "timeout_secs": secs}],
    }
    return Play(intend(query("p", pattern=pattern), person("p", **who), reducer=CURRENT))


def test_who_accepted_is_not_silent_so_no_delegate_is_asked_meanwhile() -> None:
    """P18: whether the eta moves the deadline or not."""
    play = asked(sla_secs=100, delegates=["did:q"]).accept("primary/0", eta=200)
    assert play.k.calls["primary/0#1"].extensions == 0
    [learn] = play.drafts
    assert dues(learn.body) == {"delegate:primary/0#1": 200}
    assert play.passes(150, "delegate:primary/0#1").drafts == []
    play = tier(300, sla_secs=100, delegates=["did:q"]).accept("tier:0/0", eta=400)
    assert play.k.calls["tier:0/0#1"].extensions == 1
    assert play.passes(150, "delegate:tier:0/0#1").drafts == []


def test_of_two_promises_the_later_one_is_waited_for() -> None:
    """P18: the delegate's, and an earlier one than the SLA brings nobody sooner."""
    play = asked(sla_secs=100, delegates=["did:q", "did:r"])
    assert play.accept("primary/0", eta=50).drafts == []
    play.passes(100, "delegate:primary/0#1")
    assert [draft.body.get("delegate") for draft in play.drafts] == [{"primary/0#1": "did:q"}]
    play.accept("primary/0", eta=300).accept("primary/0", eta=200)
    assert play.drafts == []
    assert play.k.calls["primary/0#1"].delegate_due == play.now + 300 * SECOND
    assert play.passes(299, "delegate:primary/0#1").drafts == []
    play.passes(1, "delegate:primary/0#1")
    assert [draft.body.get("delegate") for draft in play.drafts] == [{"primary/0#1": "did:r"}]


def test_a_promise_without_a_time_is_one_for_the_whole_wait() -> None:
    """P18: nobody else is asked, whatever is promised after it."""
    play = asked(sla_secs=100, delegates=["did:q"])
    play.do("primary/0", {"status": "accepted"}).accept("primary/0", eta=200)
    assert play.drafts == []
    assert play.passes(300, "delegate:primary/0#1").drafts == []


def test_after_a_promise_for_the_whole_wait_no_delegate_is_due() -> None:
    """P18: nobody could answer any more."""
    play = tier(300, sla_secs=100, delegates=["did:q"]).accept("tier:0/0", eta=300)
    assert play.drafts == []
    assert play.passes(200, "delegate:tier:0/0#1").drafts == []


def test_an_eta_after_the_deadline_brings_nobody_back() -> None:
    """P12, P18: though no timer came between."""
    play = tier(60)
    play.now += 60 * SECOND
    assert play.accept("tier:0/0", eta=90).end["code"] == "latency_timeout"
    assert play.k.calls["tier:0/0#1"].extensions == 0


def test_an_accept_is_no_answer_and_no_quorum() -> None:
    """P11, P18."""
    play = Play(intend(query("a", "p", min_quorum=2), llm("a"), person("p")))
    play.reply("primary/0", 1).accept("primary/1", eta=60)
    assert play.open == ["primary/1"]
    assert play.reply("primary/1", 1).end["status"] == "fulfilled"


def test_a_decline_is_terminal_and_a_submit_after_it_is_not_folded() -> None:
    play = Play(intend(query("a", "p"), llm("a"), person("p")))
    play.fail("primary/1", "declined").reply("primary/1", "after all")
    assert play.k.calls["primary/1#1"].status == "declined"
    assert play.reply("primary/0", "yes").end["folded"] == ["primary/0#1"]


def test_delegates_are_asked_one_after_another_on_the_same_call() -> None:
    play = asked(sla_secs=100, delegates=["did:q", "did:r"])
    play.passes(100, "delegate:primary/0#1")
    assert [draft.body["delegate"] for draft in play.drafts] == [{"primary/0#1": "did:q"}]
    assert dues(play.drafts[0].body) == {"delegate:primary/0#1": 200}
    assert play.passes(99).drafts == []
    play.passes(1, "delegate:primary/0#1")
    assert [draft.body["delegate"] for draft in play.drafts] == [{"primary/0#1": "did:r"}]
    assert play.drafts[0].body["timers"] == []
    assert play.passes(1000).drafts == []
    assert play.asked == ["primary/0#1"]


def test_who_wakes_when_all_is_over_asks_no_delegate() -> None:
    """P18: of a box that was off meanwhile; nobody is told of what cannot be answered any more."""
    tiers = [
        {"name": "t", "responders": ids("p"), "timeout_secs": 200},
        {"name": "u", "responders": ids("a")},
    ]
    body = query("p", pattern={"pattern": "escalate", "tiers": tiers})
    play = Play(intend(body, person("p", sla_secs=100, delegates=["did:q"]), llm("a")))
    play.passes(200, "delegate:tier:0/0#1")
    assert not any("delegate" in body for body in play.bodies("learn"))
    assert play.open == ["tier:1/0"]


def test_no_delegate_is_due_when_nobody_can_answer_any_more() -> None:
    """P18, P20: his time would begin after the deadline."""
    play = asked(secs=250.0, sla_secs=100, delegates=["did:q", "did:r", "did:s"])
    play.passes(200, "delegate:primary/0#1")
    assert dues(play.drafts[0].body) == {}


def test_a_timer_of_a_call_that_is_over_was_never_overtaken() -> None:
    """P20: its tick is stored, or it would be told of until the run ends."""
    play = tier(60).accept("tier:0/0", eta=90)
    old = START + 60 * SECOND
    assert is_overtaken(play.k, "deadline:tier:0/0#1", old)
    play.reply("tier:0/0", 1)
    assert not is_overtaken(play.k, "deadline:tier:0/0#1", old)
    assert not is_overtaken(play.k, "end", play.k.plan.ends)


def test_a_person_whose_call_was_withdrawn_is_reminded_of_nothing() -> None:
    play = Play(
        intend(query("a", "p", min_quorum=1), llm("a"), person("p", sla_secs=9, delegates=["d"]))
    )
    play.reply("primary/0", 1)
    assert play.k.calls["primary/1#1"].status == "withdrawn"
    assert play.passes(10, "delegate:primary/1#1").drafts == []
