"""People: they accept and gain time, or are silent and others are asked."""

from __future__ import annotations

from tools.golden.play import Play, intend, person, query
from tools.golden.stories.escalate import up
from tools.golden.stories.telling import story


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


@story
def person_promises_is_silent_and_delegates_are_asked() -> Play:
    boss = person("p", sla_secs=100, delegates=["did:q", "did:r"])
    play = Play(intend(query("p"), boss, reducer=7)).accept("primary/0", eta=200)
    play.passes(100, "delegate:primary/0#1").passes(100, "delegate:primary/0#1")
    play.accept("primary/0", eta=50).passes(100, "delegate:primary/0#1")
    return play.reply("primary/0", "yes")
