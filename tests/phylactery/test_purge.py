"""The purge: a run's working records are emptied after it, and only then (D4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import call, do, intend, job, made
from tools.golden.play import Play, person, query
from tools.golden.play import intend as intended
from tools.golden.stories import STORIES

from covend.phylactery.records import Record
from covend.phylactery.schema import PROJECTIONS
from covend.phylactery.store import Store, open_store

LATER = 10**12
TABLES = ("record", "purge", *PROJECTIONS)
WORKING = {"call", "do", "learn", "tick"}
"""The kinds of record that are emptied; question, end and what came of it stay."""


def run(name: str, answers: int = 1, ended: bool = True, **options: Any) -> list[Record]:
    out = [intend(name, **options)]
    for number in range(answers):
        out += [call(name, f"s{number}", secret="K"), do(name, f"s{number}", answer="K")]
        out += [made(name, "learn", best="K"), made(name, "tick", name="none")]
    return [*out, made(name, "know", answer=42)] if ended else out


def test_a_purged_run_keeps_its_question_its_answer_and_its_shape(store: Store) -> None:
    """D4: bodies of call, do, learn and tick go; order, ids, clocks and parents stay."""
    records = [*run("old"), *run("alive", ended=False), made("box", "learn-to-drive", x=1)]
    store.append(records)
    assert store.purge(LATER) == 4
    assert store.purge(LATER) == 0
    rows = store.query(thread="old", newest_first=False)
    assert [(row["id"], row["clock"], row["kind"]) for row in rows] == [
        (one.id, one.clock, one.kind) for one in records[:6]
    ]
    assert [row.get("purged", False) for row in rows] == [False, True, True, True, True, False]
    assert [row["body"] for row in rows[1:5]] == [{}] * 4
    assert rows[0]["body"] == {}
    assert rows[5]["body"] == {"answer": 42}
    assert not any("purged" in row for row in store.query(thread="alive"))
    assert store.open_calls() == []
    thread = store.thread("old")
    assert thread is not None and thread["state"] == "ended"
    assert store.verify() == []


def test_only_runs_that_ended_before_the_time_are_purged(store: Store) -> None:
    """D4: retention counts from the end."""
    first, second = run("first"), run("second")
    store.append([*first, *second])
    end = first[-1].clock
    assert store.purge(end) == 0
    assert store.purge(end + 1) == 4
    assert not any("purged" in row for row in store.query(thread="second"))


def test_a_purge_goes_in_bounded_batches(store: Store) -> None:
    """D4: whole runs, until the limit is reached."""
    for number in range(6):
        store.append(run(f"r{number}"))
    before = store.commits
    emptied = []
    while got := store.purge(LATER, limit=5):
        emptied.append(got)
    assert emptied == [8, 8, 8]
    assert store.commits - before == 3
    assert store.verify() == []


def test_what_comes_late_to_a_purged_run_is_stored_and_purged_in_its_turn(store: Store) -> None:
    """D4, P12; and a record that was purged is still known when it is appended again."""
    old = run("old")
    store.append(old)
    store.purge(LATER)
    assert store.append(old) == 0
    assert store.append([do("old", "s0", late=True, answer="K")]) == 1
    assert store.verify() == []
    assert store.purge(LATER) == 1
    assert store.verify() == []
    store.rebuild()
    assert store.verify() == []
    assert store.purge(LATER) == 0


def played(name: str, play: Play) -> list[Record]:
    """A run as it really went, under a name of its own."""
    return [made(name, entry.kind, **entry.body) for entry in play.records]


def of_people() -> Play:
    """A run of three people: two answers that are folded, and a third that is not."""
    asked = query("p", "q", "r", min_quorum=2)
    who = [person(name, sla_secs=100, delegates=["did:s"]) for name in "pqr"]
    play = Play(intended(asked, *who)).passes(100, "delegate:primary/0#1")
    eta = play.now + 500_000_000
    play.do("primary/0", {"status": "accepted", "eta": eta, "key": "K-key", "by": "did:p"})
    play.reply("primary/0", "the answer", by="did:s", rationale="K-why")
    play.fail("primary/1", "declined", rationale="K-because")
    return play.reply("primary/2", "the answer", by="did:r", rationale="K-so")


REAL = {
    "people": of_people,
    **{
        name: STORIES[name]
        for name in (
            "verify_disagree_tiebreaker_fails",
            "waterfall_exhausted_best_candidate",
            "retry_exhausted_best_then_earliest",
            "escalate_last_tier_declines",
            "ensemble_both_auditors_silent",
            "nested_two_fire_one_does_not",
            "person_is_silent_and_delegates_are_asked",
        )
    },
}
"""Runs of every pattern, to their real ends."""


def texts(value: Any) -> set[str]:
    """Every text in a body, names of members too."""
    if isinstance(value, dict):
        return set(value).union(*map(texts, value.values()))
    if isinstance(value, list):
        return set().union(*map(texts, value))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("name", REAL)
def test_nothing_of_k_is_left_in_the_store_after_the_purge(place: Any, name: str) -> None:
    """D4: not in the records, not in any projection, but what question and end say themselves."""
    store = place.open()
    records = played("run", REAL[name]())
    store.append(records)
    working = [one for one in records if one.kind in WORKING]
    kept = [one for one in records if one not in working]
    said = repr([one.body for one in kept])
    own = {text for one in working for text in texts(one.body) if text not in said}
    assert store.purge(LATER) == len(working)
    rows = store.query(thread="run", newest_first=False)
    bodies = [(row["kind"], row["body"]) for row in rows if "purged" not in row]
    assert bodies == [(one.kind, one.body) for one in kept]
    tables = {table: repr(list(store._db.rows(f"SELECT * FROM {table}"))) for table in TABLES}
    assert own and not [(text, table) for table in tables for text in own if text in tables[table]]
    assert [tables[table] for table in ("attempt", "task", "timer")] == ["[]"] * 3
    store.close()


# ── the jobs of a run ────────────────────────────────────────────────────────────────────────


def bodies(store: Store, name: str) -> list[bool]:
    """Of each record of a job, in their order, whether its body is there."""
    rows = store.query(thread=f"job:{name}", newest_first=False)
    return ["purged" not in row for row in rows]


def test_what_a_local_model_was_asked_and_answered_goes_with_its_run(place: Any) -> None:
    """D4: prompt and reply stand in the job's records; that it ended, and how, stays."""
    store = place.open()
    store.append([*run("q"), *job("j", "q", secret="K-prompt")])
    assert store.purge(LATER) == 7
    assert store.purge(LATER) == 0
    assert bodies(store, "j") == [False, False, False, True]
    assert "K-" not in repr(list(store._db.rows("SELECT * FROM record")))
    assert store.verify() == []
    store.rebuild()
    assert store.verify() == []
    assert store.purge(LATER) == 0
    store.close()


def test_a_job_is_kept_until_it_and_its_run_have_ended_before_the_time(store: Store) -> None:
    """D4, P4: a run that goes on may ask for its answer again, and one at work is left alone."""
    first, second = run("first"), run("second", ended=False)
    store.append([*first, *second])
    store.append([*job("of-first"), *job("of-second", "second"), *job("early", "first")])
    store.append([*run("open", ended=False), *job("of-open", "open")])
    store.append(job("at-work", "first", ended=False))
    end = made("second", "know")
    store.append([end])
    store.append(job("gone", "nowhere", end_clock=end.clock - 1))
    store.purge(end.clock)
    assert bodies(store, "early") == bodies(store, "gone") == [False] * 3 + [True]
    assert bodies(store, "of-second") == [True] * 4
    assert bodies(store, "at-work") == [True] * 3
    store.purge(LATER)
    assert bodies(store, "of-second") == [False] * 3 + [True]
    assert bodies(store, "of-open") == [True] * 4
    assert bodies(store, "at-work") == [True] * 3
    assert store.verify() == []


def test_a_late_end_of_a_job_is_what_its_retention_counts_from(store: Store) -> None:
    """D4: it may end after its run, which did not wait for it any more (P12)."""
    store.append(run("q"))
    store.append(job("j"))
    end = store.query(thread="job:j", limit=1)[0]["clock"]
    assert store.purge(end) == 4
    assert bodies(store, "j") == [True] * 4
    assert store.purge(end + 1) == 3


def test_a_job_that_a_person_submitted_is_kept(store: Store) -> None:
    """D4: it belongs to no run; it is a question and an answer of its own."""
    store.append(job("mine", run=None))
    assert store.purge(LATER) == 0
    assert bodies(store, "mine") == [True] * 4


def test_a_purge_of_jobs_goes_in_bounded_batches(store: Store) -> None:
    """D4."""
    store.append(run("q"))
    for number in range(5):
        store.append(job(f"j{number}"))
    emptied: list[int] = []
    while got := store.purge(LATER, limit=4):
        emptied.append(got)
    assert emptied == [4, 6, 6, 3]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=6),
    st.integers(1, 9),
    st.integers(0, 7),
)
def test_a_purge_at_any_moment_leaves_a_sound_store(
    shapes: list[tuple[int, bool, bool]], limit: int, rounds: int
) -> None:
    """D4, D5: between any two of its batches as well."""
    store = open_store(":memory:")
    for number, (answers, ended, done) in enumerate(shapes):
        store.append(run(f"r{number}", answers, ended))
        store.append(job(f"j{number}", f"r{number}", done))
    for _ in range(rounds):
        store.purge(LATER, limit=limit)
        assert store.verify() == []
    store.close()
