"""What pykka sees of our actors."""

from __future__ import annotations

import pykka
import pytest

from covend.runtime import Actor, ActorDead, ThreadSystem


class Echo(Actor):
    def on_receive(self, message: object) -> object:
        if message == "fail":
            raise ValueError("boom")
        return message


def test_a_pykka_ref_tells_asks_and_stops_our_actor() -> None:
    with ThreadSystem() as system:
        ref = system.spawn(Echo)
        stock = system.pykka_ref(ref)
        stock.tell("x")
        assert stock.ask("hello", timeout=5) == "hello"
        with pytest.raises(ValueError, match="boom"):
            stock.ask("fail", timeout=5)
        assert system.join(ref)
        other = system.spawn(Echo)
        assert system.pykka_ref(other).stop(timeout=5) is True
        assert system.join(other)
        with pytest.raises(ActorDead):
            other.ask("x", 1.0)


def test_pykkas_stop_all_does_not_reach_our_actors() -> None:
    """S12: one actor's SystemExit makes pykka call it."""
    with ThreadSystem() as system:
        ref = system.spawn(Echo)
        pykka.ActorRegistry.stop_all(timeout=5)
        assert ref.ask("x", 5.0) == "x"
