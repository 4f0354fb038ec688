"""One story for each pattern and edge (SEMANTICS §6, the table of the six).

The name is the pattern and what happens. Each story is a run with a scripted world; the tests say
how it must end, and the corpus keeps every byte of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.golden.play import Data, Play, ids, intend, llm, paid, person, query

STORIES: dict[str, Callable[[], Play]] = {}


def story(tell: Callable[[], Play]) -> Callable[[], Play]:
    """Adds a story under its own name."""
    STORIES[tell.__name__] = tell
    return tell


# single_shot


def shot(*more: Data, **members: Any) -> Play:
    return Play(intend(query("a", "b", **members), llm("a"), llm("b"), *more))


@story
def single_shot_all_answer() -> Play:
    return shot().reply("primary/0", "no", confidence=0.4).reply("primary/1", "yes", confidence=0.9)


@story
def single_shot_quorum_closes_early() -> Play:
    return shot(min_quorum=1).reply("primary/1", "yes")


@story
def single_shot_quorum_out_of_reach() -> Play:
    return shot(min_quorum=2).fail("primary/0")


@story
def single_shot_quorum_cannot_be_asked() -> Play:
    return shot(min_quorum=3)


@story
def single_shot_one_silent() -> Play:
    return shot().reply("primary/0", "yes").passes(300)


@story
def single_shot_all_silent() -> Play:
    return shot().passes(300)


@story
def single_shot_one_overdue_while_another_is_waited_for() -> Play:
    play = Play(intend(query("a", "p"), llm("a", trust=1.0), person("p")))
    return play.passes(300).reply("primary/0", "late").reply("primary/1", "yes")


@story
def single_shot_answers_of_another_shape() -> Play:
    return shot().fail("primary/0", "invalid").fail("primary/1", "invalid")


@story
def single_shot_all_unavailable() -> Play:
    return shot().fail("primary/0", "declined").fail("primary/1")


@story
def single_shot_nobody_to_ask() -> Play:
    return Play(intend(query("z"), llm("a")))


@story
def single_shot_nobody_relevant() -> Play:
    strict = {"relevance": {"threshold": 0.99, "top_k": 3}}
    return Play(intend(query("a", **strict), llm("a", trust=0.1)))


@story
def single_shot_too_expensive() -> Play:
    return Play(intend(query("a"), paid("a", 2.0), budget=1.0))


@story
def single_shot_pays_for_whom_it_can() -> Play:
    play = Play(intend(query("a", "b"), paid("a", 0.6), paid("b", 0.6), budget=1.0))
    return play.reply("primary/0", "yes", cost=0.5)


@story
def single_shot_asks_again_what_was_lost() -> Play:
    return Play(intend(query("a"), llm("a"))).lose("primary/0").reply("primary/0", "yes")


@story
def single_shot_loses_every_attempt() -> Play:
    play = Play(intend(query("a"), llm("a")))
    return play.lose("primary/0").lose("primary/0").lose("primary/0")


def lost(slot: str, play: Play, times: int = 1) -> Play:
    """The transport fails when the work may have been done."""
    for _ in range(times):
        play.fail(slot, transport=True, indeterminate=True)
    return play


@story
def single_shot_work_that_may_be_done_keeps_its_key() -> Play:
    play = Play(intend(query("a"), paid("a", 0.6), budget=1.0, reducer=2))
    return lost("primary/0", play, 2).reply("primary/0", "yes", cost=0.5)


@story
def single_shot_work_that_was_refused_gets_another_key() -> Play:
    play = Play(intend(query("a"), paid("a", 0.6), budget=1.0, reducer=2))
    return lost("primary/0", play.lose("primary/0")).reply("primary/0", "yes", cost=0.5)


@story
def single_shot_work_that_may_be_done_stays_reserved() -> Play:
    play = Play(intend(query("a"), paid("a", 0.6), budget=1.0, reducer=2))
    return lost("primary/0", play, 3)


@story
def waterfall_cannot_spend_what_may_be_billed() -> Play:
    stages = [{"name": name, "responders": ids(name)} for name in "ab"]
    pattern = {
        "pattern": "waterfall",
        "stages": [{**s, "accept_expression": "true"} for s in stages],
    }
    who = [paid("a", 0.6), paid("b", 0.6)]
    return lost(
        "stage:0/0", Play(intend(query("a", pattern=pattern), *who, budget=1.0, reducer=2)), 3
    )


@story
def single_shot_late_answer_is_billed() -> Play:
    play = Play(intend(query("a", "b", min_quorum=1), paid("a", 0.5), paid("b", 0.5), budget=1.0))
    return play.reply("primary/0", "yes", cost=0.2).reply("primary/1", "no", cost=0.3)


@story
def single_shot_first_of_two_answers_holds() -> Play:
    return shot().reply("primary/0", 1).reply("primary/0", 1).reply("primary/0", 2).passes(300)


@story
def single_shot_bills_no_more_than_agreed() -> Play:
    return Play(intend(query("a"), paid("a", 0.5), budget=1.0)).reply("primary/0", 1, cost=0.9)


@story
def single_shot_fold_fails() -> Play:
    return shot(fold={"kind": "majority"}).reply("primary/0", 1).reply("primary/1", 2)


@story
def single_shot_obligations_conflict() -> Play:
    play = shot(side_effects={"obligation_resolution": "validation_error"})
    play.reply("primary/0", 1, obligations=[{"id": "o", "status": "open"}])
    return play.reply("primary/1", 1, obligations=[{"id": "o", "status": "fulfilled"}])


@story
def single_shot_cancelled() -> Play:
    play = Play(intend(query("a", "p"), llm("a"), person("p")))
    return play.reply("primary/0", "yes").cancel()


@story
def single_shot_cancelled_too_late() -> Play:
    return Play(intend(query("a"), llm("a"))).reply("primary/0", "yes").cancel()


@story
def person_accepts_and_gains_time_twice() -> Play:
    play = Play(intend(query("p", pattern=up(("p", {"timeout_secs": 60}))), person("p")))
    play.accept("tier:0/0", eta=100).passes(70).accept("tier:0/0", eta=100)
    return play.passes(80).accept("tier:0/0", eta=500).passes(20)


@story
def person_is_silent_and_delegates_are_asked() -> Play:
    boss = person("p", sla_secs=100, delegates=["did:q", "did:r"])
    play = Play(intend(query("p"), boss))
    play.passes(100, "delegate:primary/0#1").passes(100, "delegate:primary/0#1").passes(100)
    return play.reply("primary/0", "yes")


# verify


def check(*, tiebreaker: bool = True, judge: bool = False, budget: float | None = None) -> Play:
    pattern: Data = {"pattern": "verify", "verifier": ids("b")}
    if tiebreaker:
        pattern["tiebreaker"] = ids("c")
    if judge:
        pattern["judge"] = {"responders": ids("j")}
    plan = {} if budget is None else {"budget": budget}
    who = [paid(name, 1.0) for name in "abcj"]
    return Play(intend(query("a", pattern=pattern), *who, **plan))


def disagree(play: Play) -> Play:
    return play.reply("primary/0", {"x": 1}, confidence=0.9).reply("verifier/0", {"x": 2})


@story
def verify_agree() -> Play:
    play = check().reply("verifier/0", {"x": 1}, confidence=0.5)
    return play.reply("primary/0", {"x": 1}, confidence=0.9)


@story
def verify_disagree_tiebreaker_wins() -> Play:
    return disagree(check()).reply("tiebreaker/0", {"x": 3})


@story
def verify_disagree_tiebreaker_fails() -> Play:
    return disagree(check()).fail("tiebreaker/0")


@story
def verify_disagree_tiebreaker_silent() -> Play:
    return disagree(check()).passes(300)


@story
def verify_disagree_no_tiebreaker() -> Play:
    return disagree(check(tiebreaker=False))


@story
def verify_disagree_no_money_left() -> Play:
    play = check(budget=2.5).reply("primary/0", 1, cost=1.0)
    return play.reply("verifier/0", 2, cost=1.0)


@story
def verify_no_money_for_both() -> Play:
    return check(budget=1.5)


@story
def verify_one_missing_second_opinion_agrees() -> Play:
    return check().fail("verifier/0").reply("primary/0", 1).reply("tiebreaker/0", 1)


@story
def verify_one_missing_second_opinion_differs() -> Play:
    return check().reply("verifier/0", 1).passes(300).reply("tiebreaker/0", 2)


@story
def verify_one_missing_no_second_opinion() -> Play:
    return check().fail("verifier/0").reply("primary/0", 1).fail("tiebreaker/0", "declined")


@story
def verify_verifier_is_another_responder() -> Play:
    pattern: Data = {"pattern": "verify", "verifier": ids("a"), "tiebreaker": ids("c")}
    play = Play(intend(query("a", pattern=pattern), llm("a"), llm("c")))
    return play.reply("primary/0", 1).reply("tiebreaker/0", 1)


@story
def verify_both_missing() -> Play:
    return check().fail("verifier/0").fail("primary/0")


@story
def verify_nobody_to_ask() -> Play:
    pattern: Data = {"pattern": "verify", "verifier": ids("y")}
    return Play(intend(query("z", pattern=pattern), llm("a")))


@story
def verify_judge_says_they_agree() -> Play:
    return disagree(check(judge=True)).reply("judge/0", {"agree": True})


@story
def verify_judge_says_they_differ() -> Play:
    play = disagree(check(judge=True)).reply("judge/0", {"agree": False})
    return play.reply("tiebreaker/0", {"x": 2})


@story
def verify_judge_silent() -> Play:
    return disagree(check(judge=True)).passes(300).reply("tiebreaker/0", {"x": 2})


@story
def verify_judge_not_paid() -> Play:
    play = check(judge=True, budget=2.5).reply("primary/0", 1, cost=1.0)
    return play.reply("verifier/0", 2, cost=1.0)


# waterfall


def stages(*names: str, accept: str = "confidence >= 0.8", **more: Any) -> Data:
    return {
        "pattern": "waterfall",
        "stages": [
            {"name": n, "responders": ids(n), "accept_expression": accept, **more} for n in names
        ],
    }


def fall(pattern: Data | None = None, **plan: Any) -> Play:
    who = [llm("a"), paid("b", 1.0), paid("c", 1.0)]
    return Play(intend(query("a", pattern=pattern or stages("a", "b", "c")), *who, **plan))


@story
def waterfall_first_stage_wins() -> Play:
    return fall().reply("stage:0/0", 1, confidence=0.8)


@story
def waterfall_later_stage_wins() -> Play:
    return fall().reply("stage:0/0", 1, confidence=0.2).reply("stage:1/0", 2, confidence=1.0)


@story
def waterfall_expression_errs() -> Play:
    play = fall(stages("a", "b", accept="answer.sure"))
    return play.reply("stage:0/0", {"x": 1}).reply("stage:1/0", {"sure": True})


@story
def waterfall_stage_fails_and_times_out() -> Play:
    play = fall().fail("stage:0/0").passes(300)
    return play.reply("stage:2/0", 1, confidence=0.9)


@story
def waterfall_stage_skipped() -> Play:
    return fall(stages("z", "a")).reply("stage:1/0", 1, confidence=0.9)


@story
def waterfall_fold_errs() -> Play:
    pattern = stages("a", "b", accept="true", fold={"kind": "best_of", "weight": "-1.0"})
    pattern["stages"][1]["fold"] = {"kind": "best_of"}
    return fall(pattern).reply("stage:0/0", 1).reply("stage:1/0", 2)


@story
def waterfall_exhausted_best_candidate() -> Play:
    play = fall().reply("stage:0/0", 1, confidence=0.5)
    return play.reply("stage:1/0", 2, confidence=0.7).reply("stage:2/0", 3, confidence=0.7)


@story
def waterfall_exhausted_without_candidate() -> Play:
    return fall().fail("stage:0/0").fail("stage:1/0", "declined").passes(300)


@story
def waterfall_out_of_money_commits_degraded() -> Play:
    return fall(budget=0.5).reply("stage:0/0", 1, confidence=0.5)


@story
def waterfall_out_of_money_without_candidate() -> Play:
    return fall(budget=0.5).fail("stage:0/0")


@story
def waterfall_time_is_over() -> Play:
    return fall(secs=10.0).passes(10)


# retry_on_low_confidence


def again(expression: str = "confidence < 0.7", **more: Any) -> Data:
    return {"pattern": "retry_on_low_confidence", "expression": expression, **more}


def retry(pattern: Data | None = None, **plan: Any) -> Play:
    who = [paid("a", 1.0), paid("b", 2.0)]
    return Play(intend(query("a", pattern=pattern or again()), *who, **plan))


@story
def retry_stands_at_once() -> Play:
    return retry().reply("attempt:0/0", 1, confidence=0.7)


@story
def retry_stands_with_another_dial_and_responder() -> Play:
    changes = [{"dial": {"temperature": 0}}, {"responders": ids("b"), "dial": {"max_tokens": 9}}]
    play = retry(again(adjustments=changes)).reply("attempt:0/0", 1, confidence=0.1)
    return play.reply("attempt:1/0", 2, confidence=0.2).reply("attempt:2/0", 3, confidence=0.9)


@story
def retry_expression_errs() -> Play:
    play = retry(again("answer.unsure")).reply("attempt:0/0", {})
    return play.reply("attempt:1/0", {"unsure": False})


@story
def retry_exhausted_best_then_earliest() -> Play:
    play = retry().reply("attempt:0/0", 1, confidence=0.3)
    return play.reply("attempt:1/0", 2, confidence=0.6).reply("attempt:2/0", 3, confidence=0.6)


@story
def retry_exhausted_without_answer() -> Play:
    return retry().fail("attempt:0/0", "invalid").fail("attempt:1/0", "invalid").passes(300)


@story
def retry_transport_counts_apart() -> Play:
    play = retry(again(max_attempts=1, max_transport_errors=4))
    for _ in range(4):
        play.lose("attempt:0/0")
    return play.reply("attempt:0/0", 1, confidence=0.9)


@story
def retry_transport_gives_up() -> Play:
    play = retry(again(max_attempts=1, max_transport_errors=1))
    return play.lose("attempt:0/0").lose("attempt:0/0")


@story
def retry_out_of_money_commits_degraded() -> Play:
    return retry(budget=1.5).reply("attempt:0/0", 1, confidence=0.3, cost=1.0)


@story
def retry_out_of_money_without_answer() -> Play:
    return retry(budget=0.5)


@story
def retry_attempt_has_its_own_limit() -> Play:
    changes = [{"responders": ids("b"), "max_cost_usd": 1.5}, {"max_cost_usd": 1.5}]
    play = retry(again(adjustments=changes)).reply("attempt:0/0", 1, confidence=0.3)
    return play.reply("attempt:2/0", 2, confidence=0.9)


# escalate


def up(*tiers: tuple[str, Data]) -> Data:
    """Tiers of authority: whom to ask, and what else is said of the tier."""
    named = [{"name": name, "responders": ids(name), **more} for name, more in tiers]
    return {"pattern": "escalate", "tiers": named}


UNSURE: Data = {"expression": "confidence < 0.8"}


def climb(*tiers: tuple[str, Data], **plan: Any) -> Play:
    pattern = up(*(tiers or (("a", UNSURE), ("b", UNSURE), ("p", {"timeout_secs": 600}))))
    who = [paid("a", 1.0), paid("b", 1.0), person("p"), paid("c", 0.1)]
    return Play(intend(query("a", pattern=pattern), *who, **plan))


@story
def escalate_first_tier_stands() -> Play:
    return climb().reply("tier:0/0", 1, confidence=0.9)


@story
def escalate_on_expression() -> Play:
    return climb().reply("tier:0/0", 1, confidence=0.1).reply("tier:1/0", 2, confidence=0.9)


@story
def escalate_on_expression_error() -> Play:
    play = climb(("a", {"expression": "answer.unsure"}), ("b", {}))
    return play.reply("tier:0/0", {"x": 1}).reply("tier:1/0", 2)


@story
def escalate_on_timeout() -> Play:
    play = climb(("a", {"timeout_secs": 5}), ("b", {}))
    return play.passes(5).reply("tier:0/0", "late", cost=1.0).reply("tier:1/0", 2)


@story
def escalate_last_tier_declines() -> Play:
    play = climb().reply("tier:0/0", 1, confidence=0.1).reply("tier:1/0", 2, confidence=0.2)
    return play.fail("tier:2/0", "declined")


@story
def escalate_last_tier_times_out() -> Play:
    return climb().reply("tier:0/0", 1, confidence=0.1).fail("tier:1/0", "invalid").passes(600)


@story
def escalate_last_tier_is_unsure() -> Play:
    return climb(("a", UNSURE)).reply("tier:0/0", 1, confidence=0.1)


@story
def escalate_out_of_money_asks_who_is_free() -> Play:
    play = climb(("a", UNSURE), ("b", {}), ("c", {}), ("p", {}), budget=1.5)
    return play.reply("tier:0/0", 1, confidence=0.1, cost=1.0).reply("tier:3/0", "by hand")


@story
def escalate_nobody_at_all() -> Play:
    return climb(("y", {}), ("z", {}))


# ensemble_with_audit


def audit(*, backup: bool = True, quorum: int | None = None, **plan: Any) -> Play:
    pattern: Data = {"pattern": "ensemble_with_audit", "auditor": ids("u"), "audit_timeout_secs": 9}
    if backup:
        pattern["backup_auditor"] = ids("v")
    members: Data = {"fold": {"kind": "majority"}} | ({"min_quorum": quorum} if quorum else {})
    who = [llm("a"), llm("b"), llm("c"), paid("u", 1.0), paid("v", 1.0)]
    return Play(intend(query("a", "b", "c", pattern=pattern, **members), *who, **plan))


def answered(play: Play) -> Play:
    return play.reply("primary/0", 4).reply("primary/1", 4).reply("primary/2", 5)


@story
def ensemble_approved() -> Play:
    return answered(audit()).reply("audit/0", {"approved": True})


@story
def ensemble_rejected() -> Play:
    return answered(audit()).reply("audit/0", {"approved": False, "reason": "it is 5"})


@story
def ensemble_backup_approves() -> Play:
    return answered(audit()).passes(9).reply("backup/0", {"approved": True})


@story
def ensemble_both_auditors_silent() -> Play:
    return answered(audit()).fail("audit/0", "declined").passes(9)


@story
def ensemble_no_backup() -> Play:
    return answered(audit(backup=False)).passes(9)


@story
def ensemble_auditor_fails_without_a_backup() -> Play:
    return answered(audit(backup=False, reducer=2)).fail("audit/0", problem="its check broke")


@story
def ensemble_both_auditors_fail() -> Play:
    play = answered(audit(reducer=2)).fail("audit/0", problem="its check broke")
    return play.fail("backup/0", "declined")


@story
def ensemble_verdict_is_none() -> Play:
    return answered(audit()).reply("audit/0", "fine").reply("backup/0", {"approved": "yes"})


@story
def ensemble_approval_of_another_answer() -> Play:
    play = answered(audit()).reply("audit/0", {"approved": True, "hash": "f" * 64})
    return play.fail("backup/0")


@story
def ensemble_quorum_fails_no_audit() -> Play:
    return audit(quorum=3).reply("primary/0", 4).fail("primary/1")


@story
def ensemble_fold_fails_no_audit() -> Play:
    return audit().reply("primary/0", 1).reply("primary/1", 2).reply("primary/2", 3)


@story
def ensemble_quorum_leaves_one_behind() -> Play:
    play = audit(quorum=2).reply("primary/0", 4).reply("primary/2", 4).reply("primary/1", 5)
    return play.reply("audit/0", {"approved": True})


@story
def ensemble_audit_not_paid() -> Play:
    return answered(audit(budget=0.5))


@story
def ensemble_nobody_audits_himself() -> Play:
    pattern: Data = {"pattern": "ensemble_with_audit", "auditor": ids("a", "u")}
    play = Play(intend(query("a", pattern=pattern), llm("a", trust=1.0), llm("u")))
    return play.reply("primary/0", 1).reply("audit/0", {"approved": True})


# The next query


def next_one(name: str, **more: Any) -> Data:
    return {"name": name, "query": query("a", input={"ref": "know.answer"}), **more}


@story
def nested_two_fire_one_does_not() -> Play:
    fires = [
        next_one("one"),
        next_one("no", when="know.answer.missing > 1"),
        next_one("two", when="know.confidence >= 0.5"),
        next_one("never", when="know.status == 'error'"),
    ]
    play = Play(intend(query("a", triggers=fires), paid("a", 1.0), budget=10.0))
    return play.reply("primary/0", {"x": 1}, confidence=0.5, cost=1.0)


@story
def nested_too_deep() -> Play:
    play = Play(intend(query("a", triggers=[next_one("one")]), llm("a"), depth=16))
    return play.reply("primary/0", 1)


@story
def nested_joins() -> Play:
    join = {"id": "j", "of": 2}
    play = Play(intend(query("a", triggers=[next_one("one", join=join)]), llm("a")))
    return play.reply("primary/0", 1)
