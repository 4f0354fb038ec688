"""Fold, select, replay (P2-P5): what is derived is derived again, to the byte."""

from __future__ import annotations

import pytest
from tools.golden.play import Play, answer, ids, intend, llm, paid, query, state, written
from tools.golden.stories import STORIES

from covend.patterns import step
from covend.patterns.decision import Decision, Done
from covend.patterns.query.spec import SingleShot
from covend.patterns.reducers import CURRENT
from covend.patterns.state import K, fold


def derived(drafts: list[step.Draft]) -> list[str]:
    return [written(step.Entry(draft.kind, draft.body, 0)) for draft in drafts]


@pytest.mark.parametrize("name", STORIES)
def test_any_prefix_of_a_thread_replays_to_the_records_that_followed(name: str) -> None:
    """P2, P4, P20: killed at any gap, what is missing is exactly what was going to be written."""
    play = STORIES[name]()
    for end in range(1, len(play.records) + 1):
        rest = play.records[end:]
        after = next((i for i, e in enumerate(rest) if e.kind in step.INPUTS), len(rest))
        expected = [written(step.Entry(e.kind, e.body, 0)) for e in rest[:after]]
        assert derived(step.replay(play.thread, play.records[:end]).missing) == expected


def test_a_record_that_does_not_follow_quarantines_the_run_with_both_versions() -> None:
    """P2."""
    play = STORIES["verify_agree"]()
    index, know = next((i, e) for i, e in enumerate(play.records) if e.kind == "know")
    forged = step.Entry("know", know.body | {"answer": "forged"}, know.clock)
    records = [*play.records[:index], forged]
    with pytest.raises(step.Quarantined, match="forged") as caught:
        step.replay(play.thread, records)
    assert caught.value.written.body["answer"] == "forged"
    assert caught.value.derived is not None
    assert caught.value.derived.body["answer"] == {"x": 1}


def test_a_record_that_follows_from_nothing_quarantines_the_run() -> None:
    """P2."""
    play = STORIES["verify_agree"]()
    extra = step.Entry("learn", {"note": "made up"}, play.now)
    with pytest.raises(step.Quarantined, match="derived nothing"):
        step.replay(play.thread, [*play.records, extra])


def test_a_record_of_another_kind_does_not_follow_though_it_says_the_same() -> None:
    """P2."""
    play = STORIES["verify_agree"]()
    end = next(e for e in play.records if e.kind == "know")
    before = play.records[: play.records.index(end)]
    with pytest.raises(step.Quarantined):
        step.replay(play.thread, [*before, step.Entry("learn", end.body, end.clock)])


@pytest.mark.parametrize("records", [[], [step.Entry("tick", {"name": "end"}, 0)]])
def test_a_thread_without_its_intend_is_no_run(records: list[step.Entry]) -> None:
    with pytest.raises(ValueError, match="run q-x"):
        step.replay("q-x", records)


def test_a_live_run_sees_numbers_as_a_replay_reads_them() -> None:
    """P2: canonical JSON writes 2.0 as 2, and what follows from an answer must not tell."""
    play = Play(intend(query("a"), llm("a"), budget=2.0))
    play.reply("primary/0", {"n": 2.0}, confidence=1.0, cost=0.0)
    assert type(play.end["answer"]["n"]) is int
    assert state(play) == play.k


def test_numbers_written_another_way_are_the_same_record() -> None:
    """P2: what is compared is the canonical form."""
    play = STORIES["retry_stands_at_once"]()
    know = play.records[-1]
    same = step.Entry(know.kind, know.body | {"cost": {"settled": 0.0, "reserved": 0.0}}, 0)
    with pytest.raises(step.Quarantined):
        step.replay(play.thread, [*play.records[:-1], same])
    same.body["cost"]["overrun"] = 0.0
    assert step.replay(play.thread, [*play.records[:-1], same]).missing == []


def test_an_answer_to_a_call_that_was_never_made_changes_nothing() -> None:
    play = STORIES["single_shot_one_silent"]()
    before = play.k
    after, drafts = step.take(
        before, step.Entry("do", {"slot": "no", "attempt": 1, **answer(1)}, play.now)
    )
    assert drafts == []
    assert after.calls == before.calls


def test_fold_leaves_the_k_it_was_given_alone() -> None:
    """P2: fold is pure."""
    play = Play(intend(query("a"), llm("a")))
    before, calls = play.k, dict(play.k.calls)
    after = fold(before, "do", {"slot": "primary/0", "attempt": 1, **answer(1)}, play.now + 1)
    assert before.calls == calls
    assert before.now == play.now
    assert after.calls != calls


def test_a_second_end_is_refused() -> None:
    """P3: one KNOW per thread."""
    play = STORIES["single_shot_all_silent"]()
    with pytest.raises(ValueError, match="has ended once already"):
        fold(play.k, "know", play.end, play.now)


def doubtful(k: K) -> Decision:
    """Another reducer: whatever it is told, it is not sure."""
    decision = step.SELECTS[1][SingleShot](k)
    return Done("unresolved", code="disagreement") if isinstance(decision, Done) else decision


def test_an_old_run_finishes_alike_beside_a_new_reducer(monkeypatch: pytest.MonkeyPatch) -> None:
    """P5, P20: a run is pinned to its reducer; new runs take the new one."""
    play = Play(intend(query("a"), llm("a")))
    parked = list(play.records)
    monkeypatch.setitem(step.SELECTS, 2, dict.fromkeys(step.SELECTS[1], doubtful))
    old = step.replay(play.thread, parked)
    assert old.missing == []
    k, drafts = step.take(
        old.k, step.Entry("do", {"slot": "primary/0", "attempt": 1, **answer(4)}, play.now)
    )
    assert k.ended is not None
    assert derived(drafts) == derived(play.reply("primary/0", 4).drafts)

    new = Play(intend(query("a"), llm("a"), reducer=2)).reply("primary/0", 4)
    assert new.end["status"] == "unresolved"
    assert state(new) == new.k


def test_a_run_of_a_reducer_that_is_not_there_is_no_guess() -> None:
    """P5."""
    with pytest.raises(ValueError, match="pinned to reducer 99, and this covend knows up to"):
        Play(intend(query("a"), llm("a"), reducer=99))


def test_money_adds_up_exactly_whatever_the_order() -> None:
    """P13: three dimes are thirty cents; floating dollars would leave the third unasked."""
    who = [paid(name, 0.1) for name in "abc"]
    play = Play(intend(query("a", "b", "c"), *who, budget=0.3))
    assert len(play.asked) == 3
    for slot in ("primary/2", "primary/0", "primary/1"):
        play.reply(slot, 1, cost=0.1)
    assert play.end["cost"] == {"settled": 0.3, "reserved": 0, "overrun": 0}


def test_a_priced_answer_is_bounded_and_its_worst_case_reserved() -> None:
    """P13: with a budget an unsaid max_tokens is said, so that the reserve is the worst case."""
    priced = llm("a", cost={"per_1k_input": 1.0, "per_1k_output": 2.0})
    call = Play(intend(query("a"), priced, budget=100.0)).called("primary/0#1")
    assert call["ask"]["dial"] == {"max_tokens": 1024}
    assert call["reserved"] > 2 * 1.024
    free = Play(intend(query("a"), priced)).called("primary/0#1")
    assert free["ask"]["dial"] == {}


def test_a_call_says_all_that_sending_it_again_takes() -> None:
    """P1, P4: slot, attempt, idempotency key, reserved cost, deadline, and its timer."""
    play = STORIES["single_shot_asks_again_what_was_lost"]()
    first, second = play.bodies("call")
    assert (first["key"], second["key"]) == ("q-play/primary/0#1", "q-play/primary/0#2")
    assert second["deadline"] == first["deadline"]
    assert second["timers"] == [{"name": "deadline:primary/0#2", "due": second["deadline"]}]
    assert second["ask"] == first["ask"]


def test_a_tick_that_comes_early_does_nothing() -> None:
    """P20: what is due follows from the clock."""
    play = Play(intend(query("a", "b"), llm("a"), llm("b"))).reply("primary/0", 1)
    assert play.passes(299.0, "deadline:primary/1#1").drafts == []
    assert play.passes(1.0, "deadline:primary/1#1").end["status"] == "fulfilled"


def test_an_answer_at_the_deadline_is_late_even_before_the_timer_fires() -> None:
    """P12: a deadline is a deadline, whatever the timer's delay."""
    play = Play(intend(query("a"), llm("a")))
    play.now += 300 * 1_000_000
    play.reply("primary/0", 1)
    assert play.end["code"] == "latency_timeout"
    assert play.k.late == ("primary/0#1",)


def test_another_answer_that_is_said_twice_is_one_conflict() -> None:
    """P12: as a replay may find it; the first answer holds."""
    play = Play(intend(query("a", "b"), llm("a"), llm("b"))).reply("primary/0", 1)
    for value in (2, 2, 3, 1):
        play.reply("primary/0", value, conflict=True)
    call = play.k.calls["primary/0#1"]
    assert call.response is not None
    assert (call.response.value, len(call.conflicts)) == (1, 2)
    assert state(play) == play.k


def test_what_a_stage_adds_to_a_request_leaves_what_the_query_puts_there() -> None:
    """rules §6, P7: of two members of one name, the stage's wins."""
    mine = {"extra": {"top_p": 0.5, "stop": ["."]}}
    stage = {"name": "s", "responders": ids("a"), "dial": {"extra": {"stop": ["!"], "min_p": 0}}}
    pattern = {"pattern": "waterfall", "stages": [stage]}
    play = Play(intend(query("a", pattern=pattern, dial=mine), llm("a")))
    extra = play.called("stage:0/0#1")["ask"]["dial"]["extra"]
    assert extra == {"top_p": 0.5, "stop": ["!"], "min_p": 0}


def test_the_chosen_are_asked_in_the_order_of_their_relevance() -> None:
    """P9: the score is in the call."""
    play = Play(intend(query("a", "b"), llm("a", trust=0.2), llm("b", trust=0.9)))
    first, second = play.bodies("call")
    assert [first["responder"]["id"], second["responder"]["id"]] == ["b", "a"]
    assert first["relevance"] > second["relevance"] > 0


def test_two_wants_of_the_same_responder_ask_it_once() -> None:
    body = query("a", responders=[*ids("a"), {"kind": "llm"}])
    assert Play(intend(body, llm("a"))).asked == ["primary/0#1"]


def test_a_round_that_has_no_time_is_over_as_it_begins() -> None:
    """P2, P10: who has just been asked is waited for, but not where the time is over already."""
    stages = [
        {"name": "hasty", "responders": ids("a"), "timeout_secs": 1e-7},
        {"name": "patient", "responders": ids("b")},
    ]
    pattern = {"pattern": "waterfall", "stages": stages}
    play = Play(intend(query("a", pattern=pattern), llm("a"), llm("b")))
    assert play.asked == ["stage:0/0#1", "stage:1/0#1"]
    assert play.open == ["stage:1/0"]
    assert [body["stage"] for body in play.bodies("learn")] == ["hasty"]


def test_what_two_lost_at_once_is_all_asked_again() -> None:
    """P4: one call that is sent again is not a round that begins."""
    pattern = {"pattern": "verify", "verifier": ids("b")}
    play = Play(intend(query("a", pattern=pattern), llm("a"), llm("b"), reducer=CURRENT))
    k = play.k
    for slot in ("primary/0", "verifier/0"):
        lost = {"slot": slot, "attempt": 1, "status": "error", "problem": "?", "transport": True}
        k = fold(k, "do", lost, play.now)
    _, drafts = step.advance(k)
    assert [draft.body["slot"] for draft in drafts] == ["primary/0", "verifier/0"]
