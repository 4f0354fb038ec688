"""A role with two tiers on a whole box: the smaller model stands in while both are needed (W6)."""

import threading
import time

import pytest
from tools.chaos.box import Stone

from covend.testing import eventually

from .live import LIVELY, Live, kinds

pytestmark = pytest.mark.xdist_group("box")

UP_SECONDS = 2.0
TABLES = {
    **LIVELY,
    # No term but W6's own would let anything go from who works within this test's time.
    "whim": {
        **LIVELY["whim"],
        "kappa": 500.0,
        "kappa_dominant": 500.0,
        "kappa_dominant_max": 500.0,
        "think": 5.0,
        "linger": 5.0,
        "tier_up_seconds": UP_SECONDS,
    },
    "[role]": {"name": "writer", "tiers": ["large", "small"]},
}


@pytest.fixture(scope="module")
def box():
    stones = [
        Stone("large", coven="best", slots=4, memory=120, load=0.3, tokens_per_second=200),
        Stone("small", coven="both", slots=4, memory=40, load=0.2, tokens_per_second=200),
        Stone("code", coven="both", slots=4, memory=40, load=0.2, tokens_per_second=200),
    ]
    with Live(stones, budget=200, tables=TABLES) as box:
        yield box


class Writer:
    """One client of the role in a closed loop; ``answers`` is when each came, and from whom."""

    def __init__(self, box, pool):
        self.box, self.answers, self.done = box, [], threading.Event()
        self.running = pool.submit(self.loop)

    def loop(self):
        message = {"role": "user", "content": "write"}
        while not self.done.is_set():
            status, headers, _ = self.box.post(
                {"model": "writer", "messages": [message], "max_tokens": 10}
            )
            assert status == 200
            served = (headers["X-Covend-Soulstone"], headers["X-Covend-Tier"])
            self.answers.append((time.monotonic(), served))

    def until(self, soulstone, tier):
        """Waits for an answer by this soulstone; returns when the first such came."""

        def came():
            if self.running.done():
                self.running.result()
            return next((at for at, served in self.answers if served == (soulstone, tier)), None)

        return eventually(came, 30, f"{soulstone} answers")


def test_a_smaller_tier_serves_while_both_are_needed_and_the_larger_one_comes_back(box, clients):
    """W6: down at once, up after its demand has stood, and no request is cut by either."""
    writer = Writer(box, clients.pool)
    try:
        writer.until("large", "0")
        streams = [clients.ask(box, "writer", tokens=300)]
        box.until_busy("large", 2)
        asked = time.monotonic()
        assert kinds([clients.ask(box, "code")]) == ["full"]
        writer.answers.clear()
        writer.until("small", "1")
        writer.answers.clear()
        streams.append(clients.ask(box, "writer", tokens=600))
        back = writer.until("large", "0")
        assert back - asked >= UP_SECONDS
        assert kinds(streams) == ["full", "full"]
        box.until_open("best")
    finally:
        writer.done.set()
    writer.running.result(30)
    reasons = [event["text"] for event in box.events("transition")]
    assert ["(W6)" in reason for reason in reasons[-2:]] == [True, True], reasons
