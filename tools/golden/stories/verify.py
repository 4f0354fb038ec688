"""verify: two answer, a third where they differ."""

from __future__ import annotations

from typing import Any

from tools.golden.play import Data, Play, ids, intend, llm, paid, person, query
from tools.golden.stories.telling import story


def check(*, tiebreaker: bool = True, judge: bool = False, **plan: Any) -> Play:
    pattern: Data = {"pattern": "verify", "verifier": ids("b")}
    if tiebreaker:
        pattern["tiebreaker"] = ids("c")
    if judge:
        pattern["judge"] = {"responders": ids("j")}
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
def verify_nobody_of_the_pair_breaks_the_tie() -> Play:
    pattern: Data = {
        "pattern": "verify",
        "verifier": ids("a", "b"),
        "tiebreaker": ids("a", "b", "c"),
    }
    who = [llm("a", trust=1.0), llm("b", trust=0.95), llm("c", trust=0.5)]
    play = disagree(Play(intend(query("a", pattern=pattern), *who, reducer=4)))
    return play.reply("tiebreaker/0", {"x": 2})


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


@story
def verify_lost_verifier_is_asked_again_at_once() -> Play:
    play = check(reducer=3).lose("verifier/0").reply("verifier/0", {"x": 1})
    return play.reply("primary/0", {"x": 1})


def absent(*tiebreaker: str) -> Play:
    """The primary is away; without a tiebreaker, the verifier is all there is beside him."""
    pattern: Data = {"pattern": "verify", "verifier": ids("q"), "tiebreaker": ids(*tiebreaker)}
    who = [person("p", available=False), person("q", available=not tiebreaker), llm("c")]
    return Play(intend(query("p", pattern=pattern), *who, reducer=3))


@story
def verify_absent_people_are_asked_where_nobody_comes_after() -> Play:
    return absent().reply("primary/0", 1).reply("verifier/0", 1)


@story
def verify_absent_pair_asks_the_verifier_alone() -> Play:
    return absent("c").reply("verifier/0", 1).reply("tiebreaker/0", 1)


@story
def verify_absent_primary_leaves_it_to_the_others() -> Play:
    pattern: Data = {"pattern": "verify", "verifier": ids("b"), "tiebreaker": ids("c")}
    who = [person("p", available=False), llm("b"), llm("c")]
    play = Play(intend(query("p", pattern=pattern), *who, reducer=3))
    return play.reply("verifier/0", 1).reply("tiebreaker/0", 1)


@story
def verify_one_person_under_two_names_is_asked_once() -> Play:
    pattern = {"pattern": "verify", "verifier": ids("p2", "v"), "tiebreaker": []}
    who = [person("p1", did="did:p"), person("p2", did="did:p", trust=0.99), llm("v")]
    play = Play(intend(query("p1", pattern=pattern), *who, reducer=4))
    return play.reply("primary/0", 1, by="did:p").reply("verifier/0", 1)


@story
def verify_model_does_not_verify_itself_under_another_name() -> Play:
    pattern = {"pattern": "verify", "verifier": ids("chat", "v"), "tiebreaker": ids("talk")}
    who = [llm("big"), llm("chat", alias_of="big"), llm("talk", alias_of="big")]
    play = Play(intend(query("big", pattern=pattern), *who, llm("v", trust=0.5), reducer=6))
    return play.reply("primary/0", 1).reply("verifier/0", 2)
