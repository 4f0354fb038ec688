"""How `covend mcp` asks the box for many agents at once."""

import asyncio
import threading

import pytest

from covend.cli.client import BoxNotRunning, BoxRefused, BoxSilent
from covend.cli.mcp import Asker

AGENTS = 40
DESK = "desk@core"


class Meeting:
    """A box that answers nobody until all have asked, as where each waits for another's word."""

    def __init__(self, count):
        self.together = threading.Barrier(count)

    def ask(self, address, message, seconds):
        self.together.wait(seconds)
        return message


class Failing:
    def __init__(self, error):
        self.error = error

    def ask(self, address, message, seconds):
        raise self.error


def answers(box, count):
    asker = Asker(box)

    async def all_at_once():
        return await asyncio.gather(*(asker.ask(DESK, n, 10.0) for n in range(count)))

    try:
        return asyncio.run(all_at_once())
    finally:
        asker.close()


def test_agents_that_wait_hold_up_no_other():
    """Each waits for its query in a long poll of its own."""
    assert answers(Meeting(AGENTS), AGENTS) == list(range(AGENTS))


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
        answers(Failing(error), 1)
