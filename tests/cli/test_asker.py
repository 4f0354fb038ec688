"""How `covend mcp` asks the box for many agents at once."""

import asyncio

import pytest

from covend.cli.client import BoxClient, BoxNotRunning, BoxRefused, BoxSilent
from covend.cli.mcp import Asker
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
