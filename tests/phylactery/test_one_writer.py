"""One writer at a time, whoever starts it and from where (D2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from covend.phylactery import sqlite
from covend.phylactery.errors import StoreError
from covend.phylactery.records import record
from covend.phylactery.store import open_store

PURGER = """
import os, signal, sys
from covend.phylactery.records import record
from covend.phylactery.store import open_store
store = open_store(sys.argv[1])
secret = {"slot": "s", "attempt": 0, "secret": sys.argv[2] * 50}
store.append([record("q", "intend", {}, actor="a", act="INTEND", clock=1),
              record("q", "call", secret, actor="a", act="CALL", clock=2),
              record("q", "know", {}, actor="a", clock=3)])
assert store.purge(10) == 1
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_second_writer_is_refused_until_the_first_has_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2, X6: said are the file, who writes it, and what can be done; readers are welcome."""
    monkeypatch.setattr(sqlite, "LEAVING_SECONDS", 0.0)
    path = tmp_path / "p.db"
    (tmp_path / "link.db").symlink_to(path)
    first = open_store(path)
    for other in (path, str(path), tmp_path / "link.db"):
        expected = rf"{other}: another covend \(pid {os.getpid()}\) writes here; stop it, or give"
        with pytest.raises(StoreError, match=expected):
            open_store(other)
    reader = open_store(path, read_only=True)
    first.append([record("t", "k", {}, actor="a", clock=1)])
    assert len(reader.query()) == 1
    reader.close()
    first.close()
    first.close()
    open_store(tmp_path / "link.db").close()
    assert sorted(os.listdir(tmp_path)) == ["link.db", "p.db"], "the lock goes with the log"


def test_a_store_that_could_not_be_opened_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2: what is wrong is said again the next time, not that somebody writes."""
    monkeypatch.setattr(sqlite, "LEAVING_SECONDS", 0.0)
    path = tmp_path / "p.db"
    path.write_text("this is no database, " * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged"):
            open_store(path)
    assert os.listdir(tmp_path) == ["p.db"]


def test_stores_in_memory_are_each_their_own() -> None:
    """D2: nothing to lock, and nothing left behind."""
    first, second = open_store(":memory:"), open_store(":memory:")
    first.close()
    second.close()
    assert not Path(":memory:-lock").exists()


def test_a_purge_cut_short_is_made_good_by_the_next(tmp_path: Path) -> None:
    """D4: killed before its log was truncated, the text of a purged run stood there for good."""
    path = tmp_path / "p.db"
    secret = "told in confidence "
    done = subprocess.run([sys.executable, "-c", PURGER, str(path), secret], check=False)
    assert done.returncode == -signal.SIGKILL
    files = [path, tmp_path / "p.db-wal"]
    assert any(secret.encode() in file.read_bytes() for file in files), "else nothing is tested"
    store = open_store(path)
    assert store.purge(10) == 0
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())
    store.close()
