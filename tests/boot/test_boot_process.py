"""What the box's processes leave in the run folder for each other."""

import json
import os
import stat

import pytest

from covend.boot.process import next_incarnation, write_identity
from covend.cli.client import read_identity
from covend.host.folders import Folders
from covend.runtime.pidfd import ProcessId


@pytest.fixture
def folders(tmp_path):
    return Folders.open(tmp_path / "run", tmp_path / "state")


def test_every_start_of_a_node_has_a_greater_number_even_when_the_clock_goes_back(
    folders, monkeypatch
):
    """docs/architecture.md: what an earlier process said is known as stale by it."""
    monkeypatch.setattr("covend.boot.process.time.time", lambda: 1000.0)
    first = next_incarnation(folders, "core")
    monkeypatch.setattr("covend.boot.process.time.time", lambda: 1.0)
    second = next_incarnation(folders, "core")
    assert (first, second) == (1_000_000, 1_000_001)
    assert next_incarnation(folders, "gate-0") == 1000


def test_a_number_that_a_power_cut_emptied_keeps_no_node_from_starting(folders, monkeypatch):
    """W25: the clock alone goes on from there."""
    monkeypatch.setattr("covend.boot.process.time.time", lambda: 1000.0)
    (folders.run / "core.incarnation").write_text("")
    assert next_incarnation(folders, "core") == 1_000_000


def test_who_runs_the_box_is_written_whole_and_for_its_owner_alone(folders):
    """`covend stop` finds the root by it; nothing half-written is ever under that name."""
    me = ProcessId.of(os.getpid())
    path = write_identity(folders, me.create_time, "box.toml")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["config"] == "box.toml"
    assert read_identity(folders.run).process == me
    assert [name for name in os.listdir(folders.run) if "part" in name] == []
