"""An append is on the disk before it is acknowledged, not only in the kernel's memory (D2)."""

import sys

import pytest

from covend.phylactery.store import open_store
from covend.testing.crash import Target, survey, traceable

FULL = 2
APPENDS = 3
ACKNOWLEDGES = """
import os, sys
from covend.phylactery.records import record
from covend.phylactery.store import open_store

store = open_store(os.path.join(sys.argv[1], "phylactery.db"))
told = os.open(os.path.join(sys.argv[1], "told"), os.O_CREAT | os.O_WRONLY)
for number in range(int(sys.argv[2])):
    store.append([record("t", "k", {"n": number}, actor="a")])
    os.write(told, b"acknowledged")
store.close()
"""


@pytest.mark.skipif(bool(traceable()), reason=traceable() or "-")
def test_an_append_is_synced_to_the_disk_before_it_is_acknowledged(tmp_path):
    """D2: between the last write to the log and the word that it is there lies a sync of it."""
    argv = [sys.executable, "-c", ACKNOWLEDGES, str(tmp_path), str(APPENDS)]
    steps = [
        (call.name, call.what.rpartition("/")[2]) for call in survey(Target(argv, [tmp_path])).calls
    ]
    told = [index for index, step in enumerate(steps) if step == ("write", "told")]
    assert len(told) == APPENDS
    before = 0
    for here in told:
        log = [name for name, what in steps[before:here] if what == "phylactery.db-wal"]
        assert "pwrite64" in log, steps[before:here]
        assert log[-1] in ("fdatasync", "fsync"), steps[before:here]
        before = here + 1


def test_a_store_syncs_each_commit(tmp_path):
    """D2: as SQLite itself says, which would take less for an unknown word."""
    store = open_store(str(tmp_path / "phylactery.db"))
    assert store._db.first("PRAGMA synchronous")[0] == FULL
    store.close()
