"""How `covend mcp` asks the box for many agents at once."""

import asyncio
import socket
import subprocess
import sys

import pytest

from covend.cli.client import BoxClient, BoxNotRunning, BoxRefused, BoxSilent
from covend.cli.mcp import Asker, place
from covend.questions import RecordsOf
from covend.runtime import Actor

AGENTS = 40
DESK = "desk@core"


class Meeting(Actor):
    """Answers nobody until all have asked, as where each waits for another's word."""

    def __init__(self):
        self.waiting = []

    def on_receive(self, message):
        promise = self.ctx.later()
        self.waiting.append((promise, message.id))
        if len(self.waiting) == AGENTS:
            for one, id in self.waiting:
                one.reply(id)
        return promise


class Failing:
    def __init__(self, error):
        self.error = error

    def ask(self, address, message, seconds):
        raise self.error


def answers(client, *messages):
    """What the box says to each of these, asked at once."""
    asker = Asker(client)

    async def all_at_once():
        return await asyncio.gather(*(asker.ask(DESK, message, 30.0) for message in messages))

    try:
        return asyncio.run(all_at_once())
    finally:
        asker.close()


def test_agents_that_wait_hold_up_no_other(box):
    """Each waits for its query in a long poll of its own, all over one connection."""
    box.system.spawn(Meeting, name="desk")
    names = [f"q-{n}" for n in range(AGENTS)]
    with BoxClient(box.run_dir) as client:
        assert answers(client, *(RecordsOf(name, wait=15.0) for name in names)) == names


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BoxSilent("it restarts"), TimeoutError),
        (BoxNotRunning("it restarts"), ConnectionError),
        (BoxRefused("it restarts"), ValueError),
    ],
)
def test_what_goes_wrong_is_told_as_what_the_tools_know(error, kind):
    with pytest.raises(kind, match="it restarts"):
        answers(Failing(error), RecordsOf("q-1"))


@pytest.mark.parametrize(
    "open_to",
    ["0.0.0.0:7879", "[::]:7879", "192.0.2.7:7879", "box.example:7879", "127.1.evil:7879"],
)
def test_an_mcp_server_without_keys_is_for_this_machine_alone(covend, open_to):
    """G7: who reaches it speaks for every did."""
    said = covend("mcp", "--http", open_to, status=2).stderr
    assert "asks nobody for a key" in said and "127.0.0.1:7879 is right" in said


def test_a_port_that_another_has_is_a_failure_and_no_missing_box(box):
    """Status 3 is kept for where no box runs."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        words = [sys.executable, "-m", "covend.cli", "mcp", "--http", place, "--run-dir"]
        ended = subprocess.run(
            [*words, box.run_dir], check=False, capture_output=True, text=True, timeout=60
        )
    assert ended.returncode == 1, ended.stderr
    assert "address already in use" in ended.stderr
    assert ended.stderr.endswith(f"covend: --http {place}: it cannot be served there\n")


@pytest.mark.parametrize("none", ["7879", ":7879", "127.0.0.1:", "127.0.0.1:x", "localhost:65536"])
def test_a_place_that_is_none_is_refused(covend, none):
    assert "HOST:PORT is needed" in covend("mcp", "--http", none, status=2).stderr


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:7879", ("127.0.0.1", 7879)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:7879", ("localhost", 7879)),
    ],
)
def test_a_place_on_this_machine_is_taken(text, found):
    assert place(text) == found
