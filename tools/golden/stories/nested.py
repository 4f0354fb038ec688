"""The next query: what an end begins."""

from __future__ import annotations

from typing import Any

from tools.golden.play import Data, Play, intend, llm, paid, query
from tools.golden.stories.telling import story


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


@story
def nested_overrun_is_not_handed_down() -> Play:
    fires = [next_one("one"), next_one("two")]
    play = Play(intend(query("a", triggers=fires), paid("a", 1.0), budget=3.0, reducer=3))
    return play.reply("primary/0", 1, cost=1.5)
