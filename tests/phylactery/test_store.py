"""The store keeps what it acknowledged, on SQLite and on PostgreSQL alike (D1, D2, D3, D5)."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest
from runs import call, do, intend, job, made

from covend.phylactery import check
from covend.phylactery.errors import StoreCorrupt, StoreError
from covend.phylactery.records import BadRecord, Record, record
from covend.phylactery.store import Store
from covend.testing import eventually


def numbered(count: int, start: int = 0, thread: str = "t") -> list[Record]:
    return [
        record(thread, f"k{n % 3}", {"n": n, "pad": "x" * (n % 50)}, actor="a", clock=n + 1)
        for n in range(start, start + count)
    ]


def numbers(store: Store) -> list[int]:
    return [row["body"]["n"] for row in store.query(limit=100_000, newest_first=False)]


def test_what_was_appended_is_read_by_kind_thread_and_place(store: Store) -> None:
    """D1."""
    store.append(numbered(9) + numbered(3, thread="u"))
    assert [r["body"]["n"] for r in store.query(kind="k0", thread="t")] == [6, 3, 0]
    assert [r["seq"] for r in store.query(after=10, newest_first=False)] == [11, 12]
    assert len(store.query(limit=5)) == 5
    newest = store.latest("k1", "t")
    assert newest is not None
    assert newest["body"]["n"] == 7
    assert store.latest("k1", "nobody") is None
    assert store.verify() == []


def test_a_duplicate_append_is_a_no_op(store: Store) -> None:
    """D1: also within one batch, and it leaves no gap in the order."""
    one, two, three = numbered(3)
    assert store.append([one, two, one]) == 2
    assert store.append([two, three]) == 1
    assert numbers(store) == [0, 1, 2]
    assert store.verify() == []


def test_a_record_that_is_not_named_by_its_content_is_refused_whole(store: Store) -> None:
    """D1: and nothing of its batch is stored."""
    good = numbered(1)[0]
    forged = Record(id="0" * 64, thread="t", actor="a", act="DO", kind="k", text="{}", clock=1)
    with pytest.raises(BadRecord, match="named by its content"):
        store.append([good, forged])
    assert numbers(store) == []


def test_a_damaged_record_is_named_when_it_is_read_and_when_the_store_is_checked(
    place: Any,
) -> None:
    """D5: and so are gaps, missing parents and clocks that run backwards."""
    store = place.open()
    one, two, three = numbered(3)
    child = record("t", "k0", {"n": 3}, actor="a", clock=9, parents=[three])
    store.append([one, two, three, child])
    store.close()
    place.tamper("UPDATE record SET body = '{\"n\":7}' WHERE seq = 2")
    store = place.read()
    with pytest.raises(StoreCorrupt, match=r"record 2: its content is not what its id names"):
        store.query()
    assert store.query(after=2, limit=1)[0]["body"] == {"n": 3}
    assert store.verify() == ["record 2: its content is not what its id names"]
    store.close()
    place.tamper("DELETE FROM record WHERE seq IN (2, 3)")
    store = place.read()
    assert store.verify() == [
        "records 2 to 3 are missing",
        f"record 4: its parent {three.id} is not before it",
    ]
    store.close()


def test_an_emptied_body_that_no_purge_emptied_is_damage(place: Any) -> None:
    """D4, D5: a tombstone cannot be forged by deleting a body."""
    store = place.open()
    store.append(numbered(1))
    run = record("r", "intend", {}, actor="a", act="INTEND", clock=1)
    store.append([run, record("r", "learn", {}, actor="a", clock=2, parents=[run])])
    store.close()
    place.tamper("UPDATE record SET body = '' WHERE kind = 'learn'")
    store = place.read()
    assert "record 3: its body is gone, and it was not purged" in store.verify()
    store.close()
    place.tamper("UPDATE record SET body = '' WHERE seq = 1")
    store = place.read()
    assert store.verify() == ["record 1: a 'k0' record has no body, and its kind is never purged"]
    store.close()


def test_a_body_emptied_after_the_purge_of_its_thread_is_damage(place: Any) -> None:
    """D4, D5: a purge excuses what was there when it came, and nothing that was added since."""
    store = place.open()
    store.append([intend("r"), call("r"), do("r"), made("r", "know")])
    store.purge(10**12)
    store.append([do("r", late=True, answer=1)])
    assert store.verify() == []
    store.close()
    place.tamper("UPDATE record SET body = '' WHERE seq = 5")
    store = place.read()
    assert "record 5: its body is gone, and it was not purged" in store.verify()
    store.close()


def test_a_record_at_the_very_time_of_its_parent_is_out_of_order(store: Store) -> None:
    """D5: a clock is after its parents'."""
    one = record("t", "k", {}, actor="a", clock=5)
    store.append([one, record("t", "k", {"n": 1}, actor="a", clock=5, parents=[one])])
    assert store.verify() == ["record 2: its clock is not after its parent's"]


def test_a_reader_sees_what_was_acknowledged_and_writes_nothing(place: Any) -> None:
    """D2: acknowledged is committed; ``covend check`` runs beside a living box."""
    store = place.open()
    store.append(numbered(2))
    reader = place.read()
    assert numbers(reader) == [0, 1]
    store.append(numbered(1, start=2))
    assert numbers(reader) == [0, 1, 2]
    with pytest.raises(StoreError):
        reader.append(numbered(1, start=3))
    reader.close()
    assert numbers(store) == [0, 1, 2]
    store.close()


def test_a_living_store_is_checked_as_it_was_at_one_moment(
    store: Store, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: what is appended between reading the records and the projections is no problem."""
    store.append([intend("before")])
    compare = check._differences

    def appending(*given: Any) -> Any:
        store.append([intend("meanwhile")])
        return compare(*given)

    monkeypatch.setattr(check, "_differences", appending)
    reader = place.read()
    assert reader.verify() == []
    reader.close()
    assert [row["id"] for row in store.threads()] == ["before", "meanwhile"]


def test_a_reader_makes_no_store_where_there_is_none(place: Any) -> None:
    """X6."""
    with pytest.raises(StoreError, match=r"no covend store|unable to open"):
        place.read()


def of_version(place: Any, version: int) -> None:
    """Has the store say that it is of another version."""
    place.tamper(
        f"PRAGMA user_version={version}"
        if place.engine == "sqlite"
        else f"UPDATE covend_store SET version = {version}"
    )


def test_a_store_of_another_version_is_refused(place: Any) -> None:
    """X6: a newer covend's."""
    place.open().close()
    of_version(place, 99)
    with pytest.raises(StoreError, match="store version 99; this covend knows 3"):
        place.open()


def test_a_store_of_version_two_gets_what_it_lacks(place: Any) -> None:
    """D4, D5: its records stay as they are, and its jobs, which name no run, are kept."""
    store = place.open()
    store.append([intend("q"), made("q", "know"), *job("old", run=None)])
    store.close()
    place.tamper("DROP TABLE job")
    of_version(place, 2)
    with pytest.raises(StoreError, match="store version 2; this covend knows 3"):
        place.read()
    for _ in range(2):
        store = place.open()
        assert len(store.query()) == 6
        assert store.verify() == []
        store.close()
    store = place.open()
    store.append(job("new", "q"))
    assert store.purge(10**15) == 3
    store.close()


def test_every_record_is_seen_when_there_are_more_than_a_page(store: Store) -> None:
    """D5: the pages of a long store join without a gap."""
    store.append(numbered(2503))
    assert [entry.seq for entry in store.entries()] == list(range(1, 2504))
    assert len(list(store.entries("t"))) == 2503
    assert len(store.query()) == 2503


# ── crashes ──────────────────────────────────────────────────────────────────────────────────

WRITER = """
import sys
from covend.phylactery.records import record
from covend.phylactery.store import open_store
store = open_store(sys.argv[1])
n = int(sys.argv[2])
while True:
    run = zip(range(5), ["intend", "call", "learn", "do", "know"])
    batch = [record(f"q{n}", kind, {"n": n + i, "pad": "z" * 700, "slot": "s", "attempt": 0},
                    actor="a", clock=n + i + 1)
             for i, kind in run]
    store.append(batch)
    n += 5
    print(n, flush=True)
"""


def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_no_half_batch(place: Any) -> None:
    """D2, D5: kill -9 again and again, each life going on where the last one ended."""
    place.open().close()
    start = 0
    for life in range(12 if place.engine == "sqlite" else 5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, place.where, str(start)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        try:
            for _ in range(1 + 7 * life):
                acknowledged = int(writer.stdout.readline())
        finally:
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split()
            writer.stdout.close()
            writer.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        store = opened(place)
        found = numbers(store)
        assert store.verify() == []
        assert len(store.threads(state="ended")) * 5 == len(found), "a run half projected"
        store.close()
        assert found == list(range(len(found))), "a gap"
        assert len(found) >= acknowledged, "something acknowledged is gone"
        assert len(found) % 5 == 0, "half a batch"
        start = len(found)


def opened(place: Any) -> Store:
    """Open the store again; PostgreSQL may need a moment to see that the killed writer is gone."""

    def attempt() -> Store | None:
        try:
            return place.open()
        except StoreError as error:
            if "another covend writes here" in str(error):
                return None
            raise

    return eventually(attempt, 10.0, "the lock of a killed writer is free")


def test_what_is_no_text_is_not_found_but_refused(store: Store) -> None:
    """X6, S12: whoever asks for it hears so, and nobody dies of it."""
    for asked in (store.thread, store.find, store.export):
        with pytest.raises(StoreError, match="surrogates not allowed"):
            list(asked("\udcff") or ())
    store.append([record("t", "k", {}, actor="a", clock=1)])
    assert len(store.query()) == 1
