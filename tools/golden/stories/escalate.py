"""escalate: from tier to tier of authority."""

from __future__ import annotations

from typing import Any

from tools.golden.play import Data, Play, ids, intend, paid, person, query
from tools.golden.stories.telling import story


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


@story
def escalate_absent_people_are_asked_in_the_last_tier_only() -> Play:
    who = [person("p", available=False), paid("a", 1.0)]
    pattern = up(("p", {"timeout_secs": 60}), ("a", UNSURE), ("p", {}))
    play = Play(intend(query("a", pattern=pattern), *who, reducer=3))
    return play.reply("tier:1/0", 1, confidence=0.1).reply("tier:2/0", 2)


@story
def escalate_out_of_money_finds_who_is_free() -> Play:
    who = [paid("a", 5.0), paid("b", 5.0, trust=0.99), person("p")]
    pattern = up(("a", {}), ("b", {"responders": ids("b", "p")}))
    return Play(intend(query("a", pattern=pattern), *who, budget=1.0, reducer=4)).reply(
        "tier:1/0", "by hand", by="did:p"
    )
