"""single_shot: some are asked at once, their answers are folded."""

from __future__ import annotations

from typing import Any

from tools.golden.play import Data, Play, intend, llm, paid, person, query
from tools.golden.stories.telling import lost, story


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
def single_shot_all_of_a_request_is_reserved_for() -> Play:
    shape = {"kind": "json", "schema": {"type": "object", "required": ["x"]}}
    dial = {"max_tokens": 10, "extra": {"tools": [{"name": "look"}]}}
    priced = llm("a", cost={"per_1k_input": 1.0, "per_1k_output": 1.0})
    body = query("a", answer_shape=shape, dial=dial)
    return Play(intend(body, priced, budget=5.0, reducer=4)).reply("primary/0", {"x": 1}, cost=0.1)


@story
def single_shot_answer_that_a_fold_made_is_too_deep() -> Play:
    source = "responses[0].answer" + ".map(x, [[[[x]]]])" * 2
    fold = {"kind": "expression", "expression": source}
    value: Any = 1
    for _ in range(60):
        value = [value]
    return Play(intend(query("a", fold=fold), llm("a"), reducer=4)).reply("primary/0", value)


@story
def single_shot_person_of_two_names_is_asked_once() -> Play:
    who = [person("eve-law", did="did:eve"), person("eve-tax", did="did:eve"), person("bob")]
    body = query("eve-law", "eve-tax", "bob", relevance={"top_k": 3})
    play = Play(intend(body, *who, reducer=5))
    return play.reply("primary/0", "yes").reply("primary/1", "yes")


@story
def single_shot_model_of_two_names_is_asked_once() -> Play:
    who = [llm("big"), llm("chat", alias_of="big"), llm("small", trust=0.5)]
    body = query("big", "chat", "small", relevance={"top_k": 3})
    play = Play(intend(body, *who, reducer=6))
    return play.reply("primary/0", "yes").reply("primary/1", "yes")
