"""waterfall: stage by stage until one is accepted."""

from __future__ import annotations

from typing import Any

from tools.golden.play import Data, Play, ids, intend, llm, paid, person, query
from tools.golden.stories.telling import lost, story


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
def waterfall_out_of_money_keeps_what_was_promised() -> Play:
    play = fall(budget=0.5, reducer=3)
    return play.reply("stage:0/0", 1, confidence=0.5, obligations=[{"id": "x"}])


@story
def waterfall_exhausted_keeps_what_was_promised() -> Play:
    play = fall(stages("a"), reducer=3)
    return play.reply("stage:0/0", 1, confidence=0.5, obligations=[{"id": "x"}])


@story
def waterfall_absent_person_leaves_it_to_the_next_stage() -> Play:
    pattern = stages("p", "a", "p")
    who = [person("p", available=False), llm("a")]
    play = Play(intend(query("a", pattern=pattern), *who, reducer=3))
    return play.reply("stage:1/0", 1, confidence=0.5).reply("stage:2/0", 2, confidence=0.9)
