"""From `covend serve` to the end of the box, in order and by force."""

import os
import signal
import subprocess
import sys

import pytest
from tools.chaos.box import Stone

from covend.testing import eventually

from .live import LIVELY, Live, kinds

pytestmark = pytest.mark.xdist_group("box")

STONES = [
    Stone("chat", coven="talk", slots=2, load=0.1, tokens_per_second=200),
    Stone("words", coven="", memory=20, load=0.1),
]


def covend(*words):
    """Runs the command line; what it says and its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "covend.cli", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def by_stop(box):
    done = covend("stop", "--run-dir", str(box.run_dir))
    assert done.returncode == 0, done.stderr
    assert "stopped after" in done.stdout


def by_term(box):
    os.kill(box.pid("root"), signal.SIGTERM)


def by_kill(box):
    os.kill(box.pid("root"), signal.SIGKILL)


@pytest.mark.parametrize("end", [by_stop, by_term, by_kill])
def test_a_box_that_is_ended_leaves_nothing_behind(clients, end):
    """S16: no process, no zombie, no socket; the soulstones go with it, busy or not."""
    extra = f"lexical_reserve = {80 * 1024 * 1024}"
    with Live(STONES, budget=280, tables=LIVELY, extra=extra) as box:
        assert kinds([clients.ask(box, "chat")]) == ["full"]
        if end is by_stop:
            second = covend("serve", str(box.config))
            assert second.returncode != 0
            assert "another covend" in second.stderr
            assert str(box.pid("root")) in second.stderr
            assert "Traceback" not in second.stderr
        tokens = 200 if end is by_term else 3000
        stream = clients.ask(box, "chat", tokens=tokens)
        box.until_busy("chat", 1)
        end(box)
        eventually(lambda: not [s for s in box.processes.look() if s.runs], 30, "all are gone")
        # What ends within the gate's grace is not cut; what is cut is seen to be.
        assert kinds([stream])[0].startswith("full" if end is by_term else ("error", "broken"))
        box.wait()
        eventually(lambda: not box.processes.look(), 30, "no zombie is left")
        if end is not by_kill:
            assert not [path for path in box.run_dir.rglob("*") if path.is_socket()]
            assert not (box.run_dir / "root.json").exists()
            return
        box.start()  # after an end by force the next serve clears up and works
        assert kinds([clients.ask(box, "chat")]) == ["full"]
