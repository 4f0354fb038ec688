"""How a box says that it cannot go on, and why (G10, X6)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from covend.boot.last_words import AGAIN_SECONDS, LastWords
from covend.runtime import Failed
from covend.supervisors import ProcessEnded, Report

BOX = """
name = "a"
run_dir = "{folder}/run"
state_dir = "{folder}/state"
[[device]]
name = "host"
kind = "host"
capacity = "1GiB"
[[soulstone]]
name = "m"
authority = "shared"
endpoint = "http://127.0.0.1:9"
memory = {{ host = "0" }}
"""
ROOT = """
import sys
from covend.boot import root, serve
from covend.supervisors.backoff import Backoff
from covend.supervisors.specs import ChildSpec, ProcessSpec, SupervisorSpec

def tree(box, config, folders):
    spec = ProcessSpec([sys.executable, "-c", sys.argv[2]], log_path=folders.logs / "core.log")
    child = ChildSpec("core", spec, backoff=Backoff(base=0.01, maximum=0.01))
    return SupervisorSpec("root", children=[child], intensity=2, period=1000.0)

root.root_tree = tree
sys.exit(serve(sys.argv[1]))
"""


def root(folder: Path, core: str) -> subprocess.Popen[str]:
    """A root whose only process runs these lines."""
    config = folder / "box.toml"
    config.write_text(BOX.format(folder=folder))
    command = [sys.executable, "-c", ROOT, str(config), core]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def test_a_box_that_gives_up_fails_and_says_why(tmp_path: Path) -> None:
    """X6: whoever started it (systemd, say) learns that it is down, and its user the cause."""
    with root(tmp_path, r"raise SystemExit('the store is\n\tdamaged')") as box:
        _, stderr = box.communicate(timeout=60)
    log = tmp_path / "run" / "logs" / "core.log"
    assert box.returncode == 1
    assert stderr.splitlines() == [
        f"covend: core ended: the process ended with exit status 1; see {log}",
        "  the store is",
        "  \tdamaged",
        f"covend: giving up: core was started too often; see {log}",
    ]


def test_a_box_that_was_told_to_stop_ends_well_and_says_nothing(tmp_path: Path) -> None:
    """X6."""
    with root(tmp_path, "import time; time.sleep(60)") as box:
        assert box.stdout is not None
        assert "box a is at" in box.stdout.readline()
        box.send_signal(signal.SIGTERM)
        _, stderr = box.communicate(timeout=60)
    assert (box.returncode, stderr) == (0, "")


def test_a_second_box_in_its_place_changes_nothing_of_the_first(tmp_path: Path) -> None:
    """G10: what its processes go by while its file is broken is its own last good one."""
    with root(tmp_path, "import time; time.sleep(60)") as box:
        assert box.stdout is not None
        assert "box a is at" in box.stdout.readline()
        kept = (tmp_path / "run" / "last-good.toml").read_text()
        other = tmp_path / "other"
        other.mkdir()
        config = other / "box.toml"
        config.write_text(BOX.format(folder=tmp_path).replace('"a"', '"b"'))
        command = [sys.executable, "-m", "covend.cli", "serve", str(config)]
        second = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert "another covend" in second.stderr and second.returncode == 1
        assert (tmp_path / "run" / "last-good.toml").read_text() == kept
        box.send_signal(signal.SIGTERM)
        box.communicate(timeout=60)


@pytest.fixture
def words(tmp_path: Path) -> LastWords:
    return LastWords(tmp_path)


def ended(at: float, decision: str = "wait") -> Report:
    return Report("processes", "core", 1, decision, at, reason=Failed(ProcessEnded(1)))


def test_the_same_last_words_are_repeated_seldom_and_others_at_once(
    words: LastWords, capsys: pytest.CaptureFixture[str]
) -> None:
    log = words.logs / "core.log"

    def told(at: float, line: str) -> list[str]:
        words(ended(at, "started"))
        with log.open("a") as file:
            file.write(line)
        words(ended(at))
        return capsys.readouterr().err.splitlines()[1:]

    assert told(0.0, "Traceback:\n  at 3\nStoreError: away\n") == ["  StoreError: away"]
    assert told(1.0, "StoreError: away\n") == []
    assert told(2.0, "StoreError: full\n") == ["  StoreError: full"]
    assert told(2.0 + AGAIN_SECONDS, "StoreError: full\n") == ["  StoreError: full"]
    words(ended(9.0, "stopped"))
    assert capsys.readouterr().err == ""


def test_words_of_a_former_life_are_no_last_words(
    words: LastWords, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that was killed wrote nothing; nor did one whose log is gone."""
    log = words.logs / "core.log"
    log.write_text("StoreError: away\n")
    words(ended(0.0, "started"))
    words(ended(1.0))
    assert len(capsys.readouterr().err.splitlines()) == 1
    log.unlink()
    words(ended(2.0 + AGAIN_SECONDS))
    assert len(capsys.readouterr().err.splitlines()) == 1
