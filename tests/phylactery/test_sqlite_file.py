"""The SQLite file: full disks, foreign files, torn logs, damage and the way out (D2, D5)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from covend.phylactery.errors import StoreCorrupt, StoreError, StoreFull
from covend.phylactery.records import Record, record
from covend.phylactery.salvage import salvage
from covend.phylactery.schema import RECORD_TABLES, SCHEMA_VERSION
from covend.phylactery.sqlite import APPLICATION_ID, version_problem
from covend.phylactery.store import Store, open_store

LATER = 10**12
ONE_EXAMPLE_DIRECTORY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def numbered(count: int, start: int = 0, thread: str = "t") -> list[Record]:
    return [
        record(thread, f"k{n % 3}", {"n": n, "pad": "x" * (n % 50)}, actor="a", clock=n + 1)
        for n in range(start, start + count)
    ]


def numbers(store: Store) -> list[int]:
    return [row["body"].get("n") for row in store.query(limit=100_000, newest_first=False)]


def test_a_full_disk_is_a_clear_error_and_the_store_goes_on(tmp_path: Path) -> None:
    """D2: atomic, also when there is no room."""
    store = open_store(tmp_path / "p.db", max_pages=28)
    store.append(numbered(3))
    big = [record("t", "k", {"n": n, "pad": "y" * 4000}, actor="a", clock=1) for n in range(50)]
    with pytest.raises(StoreFull, match="free space"):
        store.append(big)
    assert numbers(store) == [0, 1, 2]
    store.append(numbered(1, start=3))
    assert numbers(store) == [0, 1, 2, 3]
    store.close()


def test_a_store_that_finds_no_room_to_begin_leaves_no_file(tmp_path: Path) -> None:
    """D2: an empty one would be taken for a store, or for none of covend's."""
    with pytest.raises(StoreFull):
        open_store(tmp_path / "p.db", max_pages=3)
    assert os.listdir(tmp_path) == []
    open_store(tmp_path / "p.db").close()


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    """X6: not a database, somebody else's database, a newer covend's, no such folder."""
    text = tmp_path / "text.db"
    text.write_text("this is no database, " * 100)
    with pytest.raises(StoreCorrupt, match=r"text\.db.*salvage"):
        open_store(text)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    before = other.read_bytes()
    with pytest.raises(StoreError, match="not a covend store"):
        open_store(other)
    assert other.read_bytes() == before, "its journal is written as before"
    newer = tmp_path / "newer.db"
    open_store(newer).close()
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        open_store(newer)
    with pytest.raises(StoreError, match="unable to open"):
        open_store(tmp_path / "nowhere" / "p.db")
    assert text.read_text().startswith("this is no database")


def test_sqlite_versions_with_the_wal_reset_bug_are_named() -> None:
    """D2: 3.7.0 to 3.51.2 have it; before 3.37 there are no STRICT tables."""
    assert "3.51.2" in (version_problem((3, 51, 2)) or "")
    assert version_problem((3, 51, 3)) is None
    with pytest.raises(StoreError, match=r"3\.37"):
        version_problem((3, 36, 0))


@pytest.mark.parametrize(("version", "told"), [("3.51.2", 1), ("3.51.3", 0)])
def test_who_opens_a_store_with_such_a_version_is_warned(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: str,
    told: int,
) -> None:
    """D2."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)
    open_store(tmp_path / "p.db").close()
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    assert len(warnings) == told
    assert all(f"SQLite {version} has the WAL-reset bug" in text for text in warnings)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as a crash leaves it: 40 records in the file, 10 batches of 3 only in its WAL."""
    home = tmp_path_factory.mktemp("crashed")
    live = home / "live.db"
    store = open_store(live)
    store.append(numbered(40))
    store._db.first("PRAGMA wal_checkpoint(TRUNCATE)")
    for batch in range(10):
        store.append(numbered(3, start=40 + 3 * batch))
    for suffix in ("", "-wal"):
        shutil.copy(f"{live}{suffix}", f"{home / 'p.db'}{suffix}")
    store.close()
    return home / "p.db"


@pytest.fixture(scope="module")
def closed(crashed: Path) -> Path:
    """The same store after an orderly end: everything in one file."""
    path = crashed.parent / "closed.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{crashed}{suffix}", f"{path}{suffix}")
    open_store(path).close()
    return path


def placed(source: Path, into: Path) -> Path:
    """A private copy of a store in ``into``."""
    path = into / "p.db"
    for suffix in ("", "-wal", "-shm"):
        target, origin = Path(f"{path}{suffix}"), Path(f"{source}{suffix}")
        target.unlink(missing_ok=True)
        if origin.exists():
            shutil.copy(origin, target)
    return path


@ONE_EXAMPLE_DIRECTORY
@given(cut=st.floats(0, 1))
@example(cut=0.0)
@example(cut=1.0)
def test_a_wal_cut_anywhere_gives_whole_batches_up_to_the_tear(
    crashed: Path, tmp_path: Path, cut: float
) -> None:
    """D2: SQLite recovers what was committed before the tear, nothing of what was after."""
    path = placed(crashed, tmp_path)
    wal = Path(f"{path}-wal")
    os.truncate(wal, int(wal.stat().st_size * cut))
    store = open_store(path)
    found = numbers(store)
    problems = store.verify()
    store.close()
    assert problems == []
    assert found == list(range(len(found)))
    assert len(found) >= 40
    assert (len(found) - 40) % 3 == 0
    assert cut < 1.0 or len(found) == 70


@ONE_EXAMPLE_DIRECTORY
@given(place=st.floats(0, 1, exclude_max=True), flips=st.binary(min_size=1, max_size=8))
def test_a_damaged_wal_gives_whole_batches_or_a_clear_error(
    crashed: Path, tmp_path: Path, place: float, flips: bytes
) -> None:
    """D2: never garbage."""
    path = placed(crashed, tmp_path)
    damage(Path(f"{path}-wal"), place, flips)
    store = opened_or_refused(path)
    if store is None:
        return
    try:
        found = numbers(store)
    finally:
        store.close()
    assert found == list(range(len(found)))
    assert len(found) >= 40
    assert (len(found) - 40) % 3 == 0


@settings(ONE_EXAMPLE_DIRECTORY, max_examples=150)
@given(place=st.floats(0, 1, exclude_max=True), flips=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_gives_everything_or_a_clear_error(
    closed: Path, tmp_path: Path, place: float, flips: bytes
) -> None:
    """D2, D5: what the checks on opening miss, the hash of each record finds."""
    path = placed(closed, tmp_path)
    damage(path, place, flips)
    store = opened_or_refused(path)
    if store is None:
        return
    try:
        assert numbers(store) == list(range(70))
    except StoreCorrupt as error:
        assert_names(error, path)
    finally:
        store.close()


def opened_or_refused(path: Path) -> Store | None:
    try:
        return open_store(path)
    except StoreError as error:
        assert_names(error, path)
        return None


def assert_names(error: StoreError, path: Path) -> None:
    assert str(path) in str(error)


def damage(path: Path, place: float, flips: bytes) -> None:
    data = bytearray(path.read_bytes())
    at = int(len(data) * place)
    for offset, flip in enumerate(flips):
        if at + offset < len(data):
            data[at + offset] ^= flip
    path.write_bytes(data)


def test_salvage_copies_what_is_intact_and_only_reads_the_damaged_file(
    closed: Path, tmp_path: Path
) -> None:
    """X6: the way out that the error names."""
    path = placed(closed, tmp_path)
    data = path.read_bytes()
    spot = data.index(b'{"n":33,')
    path.write_bytes(data[:spot] + b'{"n":99,' + data[spot + 8 :])
    before = path.read_bytes()

    copied, problem = salvage(path, tmp_path / "new.db")
    assert copied == 69
    assert problem is not None and problem.startswith("record 34: ")

    assert path.read_bytes() == before
    fresh = open_store(tmp_path / "new.db")
    assert numbers(fresh) == [n for n in range(70) if n != 33]
    assert fresh.verify() == []
    fresh.close()
    with pytest.raises(StoreError, match=r"new\.db exists"):
        salvage(path, tmp_path / "new.db")
    with pytest.raises(StoreError, match="does not exist"):
        salvage(tmp_path / "nothing.db", tmp_path / "x.db")


def test_salvage_reaches_what_is_on_both_sides_of_a_broken_page(tmp_path: Path) -> None:
    """D2: one page of the table is lost, not what follows it."""
    path = tmp_path / "p.db"
    store = open_store(path)
    store.append([record("t", "k", {"n": n, "pad": "x" * 900}, actor="a") for n in range(60)])
    store.close()
    data = bytearray(path.read_bytes())
    page = data.index(b'{"n":30,') // 4096 * 4096
    data[page : page + 4096] = b"\0" * 4096
    path.write_bytes(data)
    copied, problem = salvage(path, tmp_path / "new.db")
    assert problem is not None
    fresh = open_store(tmp_path / "new.db")
    found = numbers(fresh)
    assert len(found) == copied
    assert found == sorted(found)
    assert 50 <= copied < 60 and found[0] == 0 and found[-1] == 59 and 30 not in found
    fresh.close()


def test_a_store_of_version_one_gets_its_projections(tmp_path: Path) -> None:
    """D5: the records of an older covend stay as they are."""
    path = tmp_path / "p.db"
    store = open_store(path)
    run = record("r", "intend", {}, actor="a", act="INTEND", clock=1)
    store.append([*numbered(3), run])
    store.close()
    with sqlite3.connect(path) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            if name not in RECORD_TABLES:
                db.execute(f"DROP TABLE {name}")
        db.execute("PRAGMA user_version=1")
    db.close()
    store = open_store(path)
    assert numbers(store)[:3] == [0, 1, 2]
    assert [row["id"] for row in store.threads()] == ["r"]
    assert store.verify() == []
    store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()


def test_a_salvaged_store_keeps_a_run_that_lost_its_intend(tmp_path: Path) -> None:
    """D5: its records are kept, nothing is projected from them, and the new store is sound."""
    path = tmp_path / "p.db"
    store = open_store(path)
    run = record("r", "intend", {}, actor="a", act="INTEND", clock=1)
    call = record("r", "call", {"slot": "s", "attempt": 0}, actor="a", act="CALL", clock=2)
    store.append([run, call])
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE record SET body = '{\"x\":1}' WHERE seq = 1")
    db.close()
    assert salvage(path, tmp_path / "new.db")[0] == 1
    fresh = open_store(tmp_path / "new.db")
    assert [row["kind"] for row in fresh.query()] == ["call"]
    assert fresh.open_calls() == []
    assert fresh.verify() == []
    fresh.close()


def test_a_salvaged_store_has_its_purged_runs_and_its_order(tmp_path: Path) -> None:
    """D4, D5: a run is open or ended as it was, and what is purged is no new damage."""
    path = tmp_path / "p.db"
    store = open_store(path)
    for name, ended in (("old", True), ("alive", False)):
        first = record(name, "intend", {}, actor="a", clock=1)
        asked = record(name, "call", {"slot": "s", "attempt": 0}, actor="a", parents=[first])
        told = record(name, "do", {"slot": "s", "attempt": 0}, actor="a", parents=[asked])
        know = record(name, "know", {}, actor="a", parents=[told])
        store.append([first, asked, told, know] if ended else [first, asked])
    store.append(numbered(1))
    assert store.purge(2**52) == 2
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE record SET body = '{\"n\":1}' WHERE kind = 'k0'")
    db.close()
    assert salvage(path, tmp_path / "new.db")[0] == 6
    fresh = open_store(tmp_path / "new.db")
    kinds = ["intend", "call", "do", "know", "intend", "call"]
    assert [row["kind"] for row in fresh.query(newest_first=False)] == kinds
    assert [row["id"] for row in fresh.threads(state="open")] == ["alive"]
    assert len(fresh.open_calls()) == 1
    assert fresh.verify() == []
    fresh.close()


def test_what_was_purged_stands_nowhere_in_the_file_any_more(tmp_path: Path) -> None:
    """D4: overwritten, not only let go; large bodies have pages of their own."""
    path = tmp_path / "p.db"
    store = open_store(path)
    secret = "what the model was told in confidence"
    for number in range(40):
        body = {"slot": "s", "attempt": 1, "prompt": secret * (1 if number % 2 else 300)}
        name = f"q-{number}"
        records = [
            record(name, "intend", {}, actor="a", act="INTEND", clock=1),
            record(name, "call", body, actor="a", act="CALL", clock=2),
            record(name, "know", {}, actor="a", clock=3),
        ]
        store.append(records)
    log = path.with_name("p.db-wal")
    reader = open_store(path, read_only=True)
    exported = reader.export("q-0")
    next(exported)
    assert store.purge(LATER) == 40
    assert store.purge(LATER) == 0, "who reads meanwhile is not waited for"
    assert secret.encode() in path.read_bytes() + log.read_bytes()
    exported.close()
    reader.close()
    assert store.purge(LATER) == 0
    assert secret.encode() not in path.read_bytes() + log.read_bytes()
    store.append([record("q-new", "intend", {}, actor="a", act="INTEND", clock=1)])
    store.append([record("q-new", "call", body, actor="a", act="CALL", clock=2)])
    store.append([record("q-new", "know", {}, actor="a", clock=3)])
    assert (store.purge(LATER), store.purge(LATER)) == (1, 0)
    assert secret.encode() not in path.read_bytes() + log.read_bytes(), "the next time as well"
    store.close()


@pytest.mark.parametrize("flip", ["body = '{}'", "body = CAST(x'ff' AS TEXT)", "actor = 'b'"])
def test_one_damaged_record_is_passed_over_by_who_asks_for_damaged_ones_too(
    tmp_path: Path, flip: str
) -> None:
    """D1, D2: it has its place and what is wrong; by default all are refused."""
    path = tmp_path / "p.db"
    store = open_store(path)
    store.append(numbered(9))
    store.close()
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE record SET {flip} WHERE seq = 4")
    db.close()
    store = open_store(path)
    with pytest.raises(StoreCorrupt):
        store.query(kind="k0")
    found = store.query(kind="k0", damaged=True)
    assert [one["seq"] for one in found] == [7, 4, 1]
    assert found[1].keys() == {"seq", "damaged"} and found[1]["damaged"]
    assert found[0]["body"]["n"] == 6
    page = store.query(damaged=True, after=2, limit=2, newest_first=False)
    assert [(one["seq"], "damaged" in one) for one in page] == [(3, False), (4, True)]
    store.close()
