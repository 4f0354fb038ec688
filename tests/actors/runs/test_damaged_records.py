"""One damaged record is left out and said; the core starts, and goes on without it (D1, D2)."""

import sqlite3

import pytest
from tests.actors.running import World, query

from covend.actors.responders.registry import Registry, Save
from covend.actors.responders.trust_recovery import LATE_US, uncounted
from covend.questions import ListResponders, PutResponder

FLIPS = {
    "another letter": "body = replace(body, '{', '[')",
    "no text at all": "body = CAST(x'7bff7d' AS TEXT)",
    "another thread": "actor = 'somebody'",
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "store.db", monkeypatch)
    world.scripted("good", "yes")
    return world


def damage(world, which, flip="another letter"):
    """As a bit that flips on the disk; returns which records it hit."""
    with sqlite3.connect(world.path) as db:
        seqs = [seq for (seq,) in db.execute(f"SELECT seq FROM record WHERE {which}")]
        db.execute(f"UPDATE record SET {FLIPS[flip]} WHERE {which}")
    db.close()
    assert seqs
    return seqs


def skipped(core):
    return [alert.data.get("seq") for alert in core.alerts() if "it is damaged" in alert.text]


def standings(core):
    core.ask(ListResponders())
    return core.system.find("registry").cell.actor.standings


@pytest.mark.parametrize("flip", FLIPS)
def test_a_damaged_responder_is_forgotten_alone(world, flip):
    """P8: those registered before and after it are there."""
    with world.core() as core:
        for name in ("ann", "bob", "cat"):
            core.ask(PutResponder({"id": name, "kind": "pattern", "function": "arithmetic"}))
    hit = damage(world, """kind = 'responder' AND body LIKE '%"bob"%'""", flip)
    with world.core() as core:
        known = {one["id"] for one in core.ask(ListResponders())["responders"]}
        assert {"ann", "cat"} <= known and "bob" not in known
        assert skipped(core) == hit
        assert core.run(query("good"))["answer"] == "yes"


def test_behind_damaged_standings_the_ones_before_count_and_the_runs_since(world, monkeypatch):
    """P8: nothing is counted twice, nothing lost."""
    monkeypatch.setattr(Registry, "on_stop", lambda self, reason: None)
    with world.core() as core:
        for _ in range(3):
            core.run(query("good"))
            core.system.address("registry").ask(Save(), timeout=5)
        before = standings(core)["good"].good
    newest = "seq = (SELECT max(seq) FROM record WHERE kind = 'standings')"
    hit = damage(world, newest)
    with world.core() as core:
        core.run(query("good"))
        assert standings(core)["good"].good == pytest.approx(before + 1, abs=0.01)
        assert skipped(core) == hit


def test_a_run_whose_end_or_whose_story_is_damaged_is_not_learned_from(world, monkeypatch):
    """P8: the others are; the registry does not ask for it for ever."""
    monkeypatch.setattr(Registry, "on_stop", lambda self, reason: None)
    with world.core() as core:
        runs = [core.submit(query("good"))["id"] for _ in range(3)]
        for run in runs:
            core.ended(run)
    ends = damage(world, f"kind = 'know' AND thread = '{runs[0]}'")
    damage(world, f"kind = 'do' AND thread = '{runs[1]}'")
    with world.core() as core:
        core.run(query("good"))
        assert standings(core)["good"].good == pytest.approx(2, abs=0.01)
        assert skipped(core) == ends
        said = [alert.text for alert in core.alerts() if runs[1] in alert.text]
        assert len(said) == 1 and "is damaged: " in said[0]


def test_before_a_whole_checkpoint_the_place_of_a_damaged_one_is_enough():
    """P8: what it counted is in the one after it, and is not looked at again."""
    asked = []

    def ask(question):
        asked.append(question.after)
        return [{"thread": "new", "clock": 3}, {"thread": "counted", "clock": 2},
                {"thread": "imported", "clock": 1 - LATE_US}]  # fmt: skip

    last = {"seq": 9, "clock": 2, "body": {"runs": ["counted"]}}
    broken = {"seq": 5, "damaged": "its content is not what its id names"}
    older = {"seq": 2, "clock": 1, "body": {"runs": []}}
    assert [end["thread"] for end in uncounted(ask, [last, broken, older])] == ["new"]
    assert asked == [5]
    uncounted(ask, [broken, last, older])
    assert asked == [5, 2]
