"""Trust survives a crash: what was learned and not stored is read from the runs' ends (P8)."""

import pytest
from tests.actors.running import World, query
from tests.actors.runs.test_crashes_of_runs import again, lay_down

from covend.actors.asking_store import ask_store
from covend.actors.responders import registry, trust_recovery
from covend.actors.responders.registry import Registry, Save
from covend.actors.runs.messages import Learned
from covend.phylactery.messages import Query
from covend.questions import ListResponders
from covend.runtime import KILLED, ReplyError
from covend.testing import eventually


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("good", "yes")
    world.scripted("bad", ZeroDivisionError("no"))
    return world


@pytest.fixture
def crash(monkeypatch):
    """From now on a registry ends without a word, as in a crash."""
    return lambda: monkeypatch.setattr(Registry, "on_stop", lambda self, reason: None)


def counts(core):
    """The registry's standings as they are now, without the clocks."""
    actor = core.system.find("registry").cell.actor
    core.ask(ListResponders())
    return {
        name: (round(one.good, 3), round(one.bad, 3), one.delays)
        for name, one in actor.standings.items()
    }


def learned(core, expected):
    eventually(lambda: counts(core) == expected, 10, f"what was learned: {expected}")


def asked(core, *names):
    for name in names:
        core.run(query(name))
    eventually(lambda: sum(good + bad for good, bad, _ in counts(core).values()) >= len(names), 10)
    return counts(core)


def save(core):
    core.system.address("registry").ask(Save(), timeout=5)


def test_what_was_learned_before_the_first_save_is_not_lost(world, crash):
    crash()
    with world.core() as core:
        before = asked(core, "good", "bad", "good")
        assert core.records("responders", "standings") == []
    for _ in range(2):  # and read back as often as it takes
        with world.core() as core:
            learned(core, before)


def test_a_store_that_is_away_while_it_is_read_back_makes_nothing_forgotten(
    world, crash, monkeypatch
):
    """P8: it is tried again, in this start and in the next."""
    crash()
    with world.core() as core:
        before = asked(core, "good", "bad")
    away = ["twice", "once"]

    def stumbling(ctx, question, seconds):
        if str(getattr(question, "thread", "")).startswith("q-") and away:
            away.pop()
            raise ReplyError("not read: the store is slow")
        return ask_store(ctx, question, seconds)

    monkeypatch.setattr(registry, "SAVE_SECONDS", 0.05)
    monkeypatch.setattr(registry, "ask_store", stumbling)
    for _ in range(2):
        with world.core() as core:
            learned(core, before)
        assert away == []


def test_after_a_save_only_what_came_later_is_counted_again(world, crash):
    """P8: nothing twice, nothing never."""
    crash()
    with world.core() as core:
        asked(core, "good", "good")
        save(core)
        asked(core, "good", "bad")
        save(core)
        before = asked(core, "bad", "good", "good")
    with world.core() as core:
        learned(core, before)
        save(core)
        (newest, *_) = core.system.address("phylactery").ask(Query(kind="standings"), timeout=5)
        assert len(newest["body"]["runs"]) == 3
    with world.core() as core:
        learned(core, before)


def test_an_end_whose_news_came_after_the_save_or_never_is_counted(world, crash, monkeypatch):
    """P8: the end is stored before the standings that do not count it."""
    crash()
    learn = Registry.learn
    with world.core() as core:
        asked(core, "good")
        monkeypatch.setattr(Registry, "learn", lambda self, news: None)
        thread = core.submit(query("good"))["id"]
        core.ended(thread)
        monkeypatch.setattr(Registry, "learn", learn)
        save(core)
    with world.core() as core:
        eventually(lambda: counts(core)["good"][0] == 2, 10, "both are counted")


def test_news_that_come_after_they_were_read_back_count_once(world, crash):
    """P8: the registry alone dies, and the news of an end reaches the next one."""
    crash()
    with world.core() as core:
        before = asked(core, "good")
        (end,) = core.system.address("phylactery").ask(Query(kind="know"), timeout=5)
        old = core.system.find("registry")
        old.stop(KILLED)
        eventually(lambda: core.system.find("registry") not in (None, old), 10, "a new registry")
        eventually(lambda: core.system.find("desk"), 10, "a new desk")
        learned(core, before)
        core.system.address("registry").tell(Learned(end["thread"], ()))
        learned(core, before)


def test_what_another_box_learned_is_not_counted_here(world, crash, tmp_path, monkeypatch):
    """D5: an imported run ended there, long ago."""
    crash()
    with world.core() as core:
        before = asked(core, "good")
        save(core)
    other = World(tmp_path / "other.db", monkeypatch)
    other.entries = world.entries
    with other.core() as core:
        thread = core.submit(query("good"))["id"]
        core.ended(thread)
        records = core.records(thread)
    back = trust_recovery.LATE_US * 2
    lay_down(world.path, moved(records, back))
    with world.core() as core:
        learned(core, before)


def moved(records, back):
    """The same records, earlier."""
    last = []
    found = []
    for entry in records:
        made = again(entry, clock=entry["clock"] - back, parents=last)
        last = [made.id]
        found.append({**entry, "clock": entry["clock"] - back, "parents": made.parents})
    return found


def test_an_end_that_cannot_be_read_is_left_out(world, crash):
    """P2."""
    crash()
    with world.core() as core:
        before = asked(core, "good")
        (end,) = core.system.address("phylactery").ask(Query(kind="know"), timeout=5)
    odd = {**end, "thread": "q-odd", "parents": []}
    intend = {**odd, "kind": "intend", "act": "INTEND", "body": {}}
    lay_down(world.path, [intend, odd])
    with world.core() as core:
        learned(core, before)
        eventually(lambda: any("q-odd" in alert.text for alert in core.alerts()), 10, "an alert")
