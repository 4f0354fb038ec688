"""What a process of the box says ends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from covend.runtime.saying import say

PROGRAM = """
from covend.runtime.saying import say
input()
say("first")
say("second")
"""


def test_a_full_disk_ends_nobody_who_says_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S12: an actor that tells of what it did lives on, and says it once there is room."""
    with open("/dev/full", "w") as log, open(tmp_path / "log", "w") as disk:
        monkeypatch.setattr(sys, "stdout", log)
        say("in vain")
        os.dup2(disk.fileno(), log.fileno())
        say("again")
    assert (tmp_path / "log").read_text() == "in vain\nagain\n"


def test_who_reads_no_more_is_told_nothing_more_and_the_program_ends_well() -> None:
    """X6: as where a box was started with ``| head``, or ``| tee`` was ended first."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None and program.stdout is not None
        program.stdout.close()
        program.stdout = None
        _, stderr = program.communicate("\n", timeout=60)
    assert (program.returncode, stderr) == (0, "")
