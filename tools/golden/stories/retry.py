"""retry_on_low_confidence: the same again, otherwise."""

from __future__ import annotations

from typing import Any

from tools.golden.play import Data, Play, ids, intend, llm, paid, person, query
from tools.golden.stories.telling import lost, story


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


@story
def retry_overrun_is_not_there_to_be_spent() -> Play:
    return retry(budget=2.5, reducer=3).reply("attempt:0/0", 1, confidence=0.3, cost=2.0)


@story
def retry_limit_of_an_attempt_bounds_its_answer() -> Play:
    pattern = again(adjustments=[{"max_cost_usd": 3.0}])
    priced = llm("a", cost={"per_1k_output": 2.0})
    play = Play(intend(query("a", pattern=pattern), priced, reducer=3))
    return play.reply("attempt:0/0", 1, confidence=0.3).reply("attempt:1/0", 2, confidence=0.9)


@story
def retry_limit_of_an_attempt_holds_for_lost_work() -> Play:
    play = retry(again(adjustments=[{"max_cost_usd": 1.5}]), reducer=3)
    lost("attempt:1/0", play.reply("attempt:0/0", 1, confidence=0.3))
    play.fail("attempt:1/0", transport=True, cost=1.0)
    return play.reply("attempt:2/0", 2, confidence=0.9)


@story
def retry_late_failure_of_the_transport_is_not_counted() -> Play:
    play = retry(again(max_transport_errors=1), reducer=3).passes(300)
    play.lose("attempt:0/0").lose("attempt:1/0")
    return play.reply("attempt:1/0", 1, confidence=0.9)


@story
def retry_absent_person_leaves_it_to_the_next_attempt() -> Play:
    pattern = again(adjustments=[{"responders": ids("a")}])
    who = [person("p", available=False), llm("a")]
    play = Play(intend(query("p", pattern=pattern), *who, reducer=3))
    return play.reply("attempt:1/0", 1, confidence=0.9)


@story
def retry_exhausted_keeps_what_was_promised() -> Play:
    play = retry(reducer=3).reply("attempt:0/0", 1, confidence=0.3, obligations=[{"id": "x"}])
    play.reply("attempt:1/0", 2, confidence=0.6, obligations=[{"id": "y"}])
    return play.reply("attempt:2/0", 3, confidence=0.5)


@story
def retry_overrun_of_an_attempt_counts_in_its_limit() -> Play:
    pattern = again(adjustments=[{"max_cost_usd": 1.0}], max_attempts=2)
    who = [paid("a", 0.4), paid("b", 0.4)]
    play = Play(intend(query("a", "b", pattern=pattern), *who, reducer=4))
    play.reply("attempt:0/0", 1, confidence=0.1).reply("attempt:0/1", 1, confidence=0.1)
    play.reply("attempt:1/0", 2, confidence=0.9, cost=5.0)
    return play.lose("attempt:1/1")
