"""The store keeps what it acknowledged, or says that it cannot (D1, D2, D5)."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from covend.phylactery.__main__ import main
from covend.phylactery.records import BadRecord, Record, record
from covend.phylactery.store import (
    Store,
    StoreCorrupt,
    StoreError,
    StoreFull,
    open_store,
    salvage,
    version_problem,
)

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
    return [row["body"]["n"] for row in store.query(limit=100_000, newest_first=False)]


def test_what_was_appended_is_read_by_kind_thread_and_place(tmp_path: Path) -> None:
    """D1."""
    store = open_store(tmp_path / "p.db")
    store.append(numbered(9) + numbered(3, thread="u"))
    assert [r["body"]["n"] for r in store.query(kind="k0", thread="t")] == [6, 3, 0]
    assert [r["seq"] for r in store.query(after=10, newest_first=False)] == [11, 12]
    assert len(store.query(limit=5)) == 5
    newest = store.latest("k1", "t")
    assert newest is not None
    assert newest["body"]["n"] == 7
    assert store.latest("k1", "nobody") is None
    assert store.verify() == []
    store.close()


def test_a_duplicate_append_is_a_no_op(tmp_path: Path) -> None:
    """D1: also within one batch, and it leaves no gap in the order."""
    store = open_store(tmp_path / "p.db")
    one, two, three = numbered(3)
    assert store.append([one, two, one]) == 2
    assert store.append([two, three]) == 1
    assert numbers(store) == [0, 1, 2]
    assert store.verify() == []
    store.close()


def test_a_record_that_is_not_named_by_its_content_is_refused_whole(tmp_path: Path) -> None:
    """D1: and nothing of its batch is stored."""
    store = open_store(tmp_path / "p.db")
    good = numbered(1)[0]
    forged = Record(id="0" * 64, thread="t", actor="a", act="DO", kind="k", body={}, clock=1)
    with pytest.raises(BadRecord, match="named by its content"):
        store.append([good, forged])
    assert numbers(store) == []
    store.close()


def test_a_full_disk_is_a_clear_error_and_the_store_goes_on(tmp_path: Path) -> None:
    """D2: atomic, also when there is no room."""
    store = open_store(tmp_path / "p.db", max_pages=12)
    store.append(numbered(3))
    big = [record("t", "k", {"n": n, "pad": "y" * 4000}, actor="a", clock=1) for n in range(50)]
    with pytest.raises(StoreFull, match="free space"):
        store.append(big)
    assert numbers(store) == [0, 1, 2]
    store.append(numbered(1, start=3))
    assert numbers(store) == [0, 1, 2, 3]
    store.close()


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
    with pytest.raises(StoreError, match="not a covend store"):
        open_store(other)
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


# ── crashes ──────────────────────────────────────────────────────────────────────────────────

WRITER = """
import sys
from covend.phylactery.records import record
from covend.phylactery.store import open_store
store = open_store(sys.argv[1])
n = int(sys.argv[2])
while True:
    batch = [record("t", "k", {"n": n + i, "pad": "z" * 700}, actor="a", clock=n + i + 1)
             for i in range(5)]
    store.append(batch)
    n += 5
    print(n, flush=True)
"""


def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_no_half_batch(
    tmp_path: Path,
) -> None:
    """D2: kill -9 at twelve points, each life going on where the last one ended."""
    path = tmp_path / "p.db"
    open_store(path).close()
    start = 0
    for life in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE
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
        store = open_store(path)
        found = numbers(store)
        assert store.verify() == []
        store.close()
        assert found == list(range(len(found))), "a gap"
        assert len(found) >= acknowledged, "something acknowledged is gone"
        assert len(found) % 5 == 0, "half a batch"
        start = len(found)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as a crash leaves it: 40 records in the file, 10 batches of 3 only in its WAL."""
    home = tmp_path_factory.mktemp("crashed")
    live = home / "live.db"
    store = open_store(live)
    store.append(numbered(40))
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
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
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """X6: the way out that the error names."""
    path = placed(closed, tmp_path)
    data = path.read_bytes()
    spot = data.index(b'{"n":33,')
    path.write_bytes(data[:spot] + b'{"n":99,' + data[spot + 8 :])
    before = path.read_bytes()

    assert main(["check", str(path)]) == 1
    assert "record 34" in capsys.readouterr().out
    assert main(["salvage", str(path), str(tmp_path / "new.db")]) == 0
    assert "69 records" in capsys.readouterr().out

    assert path.read_bytes() == before
    fresh = open_store(tmp_path / "new.db")
    assert numbers(fresh) == [n for n in range(70) if n != 33]
    fresh.close()
    assert main(["check", str(tmp_path / "new.db")]) == 0
    with pytest.raises(StoreError, match="exists"):
        salvage(path, tmp_path / "new.db")
    assert main(["salvage", "nothing.db", str(tmp_path / "x.db")]) == 1
    assert main(["mend"]) == 2
