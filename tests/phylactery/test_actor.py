"""The phylactery as an actor: asked is durable, told is sent, a full disk is no death (D2)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import call, do, human, intend, made, timer

from covend.phylactery.actor import PATIENCE, Phylactery
from covend.phylactery.errors import StoreCorrupt
from covend.phylactery.messages import (
    Append,
    Due,
    Latest,
    NextDue,
    OpenCalls,
    Purge,
    Query,
    Tasks,
    Thread,
    Threads,
)
from covend.phylactery.records import Record, record
from covend.phylactery.store import open_store
from covend.runtime import Actor, ReplyError, SimSystem, StartFailed, System, ThreadSystem

SECONDS = 10.0


def one(n: int, pad: int = 0) -> Record:
    return record("t", "k", {"n": n, "pad": "x" * pad}, actor="a", clock=n + 1)


@pytest.fixture(params=["threads", "sim"])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    with (
        ThreadSystem(node="core") if request.param == "threads" else SimSystem(node="core") as made
    ):
        yield made


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [row["body"]["n"] for row in rows]


def test_what_was_asked_for_is_durable_when_answered(system: System, place: Any) -> None:
    """D1, D2, D3: also read by another connection at that moment."""
    ref = system.spawn(Phylactery, place.where, name="phylactery")
    assert ref.ask(Append([one(1), one(2)]), SECONDS) == 2
    assert ref.ask(Append([one(2), one(3)]), SECONDS) == 1
    other = place.read()
    assert numbers(other.query(newest_first=False)) == [1, 2, 3]
    other.close()
    assert numbers(ref.ask(Query(kind="k", thread="t", limit=2), SECONDS)) == [3, 2]
    assert numbers(ref.ask(Query(after=1, newest_first=False), SECONDS)) == [2, 3]
    assert ref.ask(Latest("k", "t"), SECONDS)["seq"] == 3
    assert ref.ask(Latest("k", "nobody"), SECONDS) is None
    with pytest.raises(ReplyError, match="str"):
        ref.ask("what?", SECONDS)


def test_what_is_open_due_and_asked_is_told(system: System, place: Any) -> None:
    """P4, P6, P18: told and read in one breath."""
    ref = system.spawn(Phylactery, place.where, name="phylactery")
    asked = human("q", "h", did="did:ann", timers=[timer("sla", 50)])
    ref.tell(Append([intend("q"), call("q", "m"), asked]))
    assert [row["slot"] for row in ref.ask(OpenCalls(thread="q"), SECONDS)] == ["m", "h"]
    assert [row["id"] for row in ref.ask(Threads(state="open", limit=5), SECONDS)] == ["q"]
    assert ref.ask(Threads(parent="q"), SECONDS) == []
    assert ref.ask(Thread("q"), SECONDS)["state"] == "open"
    assert [row["slot"] for row in ref.ask(Tasks(did="did:ann", state="open"), SECONDS)] == ["h"]
    assert ref.ask(Due(49), SECONDS) == []
    assert ref.ask(Due(50, limit=3), SECONDS) == [{"thread": "q", "name": "sla", "due": 50}]
    assert ref.ask(NextDue(), SECONDS) == 50


def test_a_conflict_is_told_as_one_and_harms_no_other(system: System, place: Any) -> None:
    """P3: the text begins ``conflict:``; what shares its commit is durable."""
    ref = system.spawn(Phylactery, place.where, name="phylactery")
    first, second = do("q", n=1), do("q", n=2)
    assert ref.ask(Append([intend("q"), call("q")]), SECONDS) == 2
    asked = [ref.ask_later(Append([each]), SECONDS) for each in (first, second, one(1), first)]
    assert asked[0].get() == 1
    with pytest.raises(ReplyError, match=f"^conflict: the do {second.id}: .* do {first.id}$"):
        asked[1].get()
    assert asked[2].get() == 1
    assert asked[3].get() == 0


def test_what_follows_shares_the_commit_and_goes_where_what_it_follows_from_goes(
    system: System, place: Any
) -> None:
    """D2, P3: one answer for both; the one without the other only where the other is refused."""
    ref = system.spawn(Phylactery, place.where, name="phylactery")
    assert ref.ask(Append([intend("q")], [call("q")]), SECONDS) == 2
    with pytest.raises(ReplyError, match=r"^conflict: "):
        ref.ask(Append([do("q", n=1)], [do("q", n=2)]), SECONDS)
    with pytest.raises(ReplyError, match=r"^conflict: "):
        ref.ask(Append([do("q", n=3)], [one(1)]), SECONDS)
    found = ref.ask(Query(newest_first=False), SECONDS)
    assert [entry["kind"] for entry in found] == ["intend", "call", "do"]


def test_a_purge_is_done_in_batches_between_which_appends_are_stored(place: Any) -> None:
    """D4: what is sent during a batch is stored before the next; each batch is one run here."""
    seen: list[int] = []
    refs: list[Any] = []

    def opening(where: str | Path) -> Any:
        store = open_store(where)
        purge = store.purge

        def small(before: int) -> int:
            seen.append(len(store.query(kind="k")))
            refs[0].tell(Append([one(len(seen))]))
            return purge(before, limit=1)

        store.purge = small  # type: ignore[method-assign]
        return store

    with SimSystem(node="core") as system:
        refs.append(system.spawn(Phylactery, place.where, open_with=opening, name="phylactery"))
        for n in range(3):
            run = [intend(f"q{n}"), call(f"q{n}"), do(f"q{n}"), made(f"q{n}", "know")]
            refs[0].ask(Append(run), SECONDS)
        first = refs[0].ask_later(Purge(10**15), SECONDS)
        second = refs[0].ask_later(Purge(10**15), SECONDS)
        assert first.get() == 6
        assert second.get() == 0
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("days", "left"), [(0, 0), (7, 3), (None, 3)])
def test_ended_runs_are_purged_by_themselves_after_their_retention(
    place: Any, days: float | None, left: int
) -> None:
    """D4: days since the end, down to none; without a retention everything is kept."""
    with SimSystem(node="core") as system:
        ref = system.spawn(
            Phylactery, place.where, retention_days=days, purge_seconds=60.0, name="phylactery"
        )
        now = time.time_ns() // 1000 - 6 * 86_400_000_000  # six days ago
        run = [
            made("q", "intend", clock=now),
            made("q", "call", clock=now, slot="s", attempt=0),
            made("q", "do", clock=now, slot="s", attempt=0),
            made("q", "learn", clock=now),
            made("q", "know", clock=now),
        ]
        ref.ask(Append(run), SECONDS)
        system.advance(300.0)
        rows = ref.ask(Query(thread="q"), SECONDS)
        assert len([row for row in rows if row["kind"] in ("call", "do", "learn")]) == 3
        assert len([row for row in rows if row["body"] or "purged" not in row]) == left + 2


def test_what_was_told_is_read_back_by_the_teller_and_survives_a_stop(
    system: System, tmp_path: Path
) -> None:
    """D2: a query sees every append that was sent before it."""
    ref = system.spawn(Phylactery, tmp_path / "p.db", name="phylactery")
    for n in range(10):
        ref.tell(Append([one(n)]))
    assert numbers(ref.ask(Query(newest_first=False), SECONDS)) == list(range(10))
    ref.tell(Append([one(10)]))
    ref.stop()
    assert system.join(ref, SECONDS)
    again = system.spawn(Phylactery, tmp_path / "p.db", name="phylactery")
    assert numbers(again.ask(Query(limit=1), SECONDS)) == [10]


def remembered() -> tuple[list[Any], Callable[[str | Path], Any]]:
    """What opens a store and keeps it in a list, and that list."""
    opened: list[Any] = []

    def opening(path: str | Path) -> Any:
        opened.append(open_store(path))
        return opened[-1]

    return opened, opening


def test_appends_that_wait_together_share_commits(tmp_path: Path) -> None:
    """D2: group commit, counted; on the simulated runtime the count is exact."""
    opened, opening = remembered()

    with SimSystem(node="core") as system:
        ref = system.spawn(Phylactery, tmp_path / "p.db", open_with=opening, name="phylactery")
        answers = [ref.ask_later(Append([one(n)]), SECONDS) for n in range(200)]
        assert [answer.get() for answer in answers] == [1] * 200
        assert opened[0].commits <= 3

        small = system.spawn(
            Phylactery, tmp_path / "q.db", max_batch=10, open_with=opening, name="small"
        )
        answers = [small.ask_later(Append([one(n)]), SECONDS) for n in range(100)]
        assert [answer.get() for answer in answers] == [1] * 100
        assert 10 <= opened[1].commits <= 12


class Stream(Actor):
    """Has one more record to store, each time it is asked, and asks itself again."""

    def __init__(self, ends: int) -> None:
        self.ends = ends
        self.told = 0

    def on_receive(self, message: object) -> None:
        self.told += 1
        self.ctx.tell("phylactery", Append([one(self.told)]))
        if self.told < self.ends:
            self.ctx.tell(self.ctx.me, message)


def test_a_commit_lets_those_go_first_who_have_more_to_store(tmp_path: Path) -> None:
    """D2: what they append meanwhile shares it."""
    opened, opening = remembered()

    with SimSystem(node="core") as system:
        system.spawn(Phylactery, tmp_path / "p.db", open_with=opening, name="phylactery")
        before = opened[0].commits
        stream = system.spawn(Stream, 100, name="stream")
        stream.tell("begin")
        system.run(until=lambda: stream.cell.actor.told == 100)
        assert opened[0].commits - before <= 100 // PATIENCE


def test_a_stream_of_appends_keeps_no_commit_waiting(tmp_path: Path) -> None:
    """D2: a commit lets those go first who have more to store, but not for ever."""
    with SimSystem(node="core") as system:
        ref = system.spawn(Phylactery, tmp_path / "p.db", max_batch=10**6, name="phylactery")
        stream = system.spawn(Stream, 10_000, name="stream")
        answer = ref.ask_later(Append([one(0)]), SECONDS)
        stream.tell("begin")
        system.run(until=lambda: answer.done)
        assert len(ref.ask(Query(), SECONDS)) < 1000


def test_a_full_disk_is_told_to_the_asker_and_the_actor_lives(
    system: System, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """D2: refused whole; what fits is stored afterwards."""

    def tiny(path: str | Path) -> Any:
        return open_store(path, max_pages=28)

    ref = system.spawn(Phylactery, tmp_path / "p.db", open_with=tiny, name="phylactery")
    with pytest.raises(ReplyError, match=r"not stored: .*p\.db: no room left"):
        ref.ask(Append([one(n, pad=4000) for n in range(50)]), SECONDS)
    ref.tell(Append([one(n, pad=4000) for n in range(50)]))
    assert ref.ask(Append([one(1)]), SECONDS) == 1
    assert numbers(ref.ask(Query(), SECONDS)) == [1]
    assert "nobody waits to hear it" in caplog.text


def test_a_damaged_store_keeps_the_actor_from_starting(system: System, tmp_path: Path) -> None:
    """D2: the error names the file and the way out; nothing is replaced."""
    path = tmp_path / "p.db"
    path.write_bytes(b"not a database at all" * 50)
    with pytest.raises(StartFailed, match="salvage") as caught:
        system.spawn(Phylactery, path, name="phylactery")
    assert isinstance(caught.value.cause, StoreCorrupt)
    assert path.read_bytes() == b"not a database at all" * 50


@pytest.mark.parametrize("make", [ThreadSystem, SimSystem])
def test_an_idle_phylactery_writes_nothing(make: Callable[..., System], tmp_path: Path) -> None:
    """Reading alone makes no commit."""
    with make(node="core") as system:
        store = open_store(tmp_path / "p.db")
        ref = system.spawn(
            Phylactery, tmp_path / "p.db", open_with=lambda path: store, name="phylactery"
        )
        ref.ask(Query(), SECONDS)
        assert store.commits == 0


def test_a_damaged_record_is_told_to_who_reads_it_and_the_actor_lives(
    system: System, tmp_path: Path
) -> None:
    """D2: never garbage, and one bad record does not stop the box from recording."""
    path = tmp_path / "p.db"
    store = open_store(path)
    store.append([one(1), one(2)])
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE record SET body = replace(body, '1', '7') WHERE seq = 1")
    db.close()
    ref = system.spawn(Phylactery, path, name="phylactery")
    with pytest.raises(ReplyError, match=r"not read: .*p\.db is damaged: record 1:.*salvage"):
        ref.ask(Query(), SECONDS)
    assert ref.ask(Append([one(3)]), SECONDS) == 1
    assert numbers(ref.ask(Query(after=1), SECONDS)) == [3, 2]
