"""What became of paid calls, as a query's records and its bill have it."""

from tests.actors.running import query

from covend.questions import ShowQuery
from covend.testing import eventually

PRICE = 0.25
"""Exact in binary, so that sums can be compared."""


def race(**more):
    """Whoever answers first is the answer."""
    return query("quick", "slow", min_quorum=1, side_effects={"max_cost_usd": 1.0}, **more)


def late(core, thread, count=1):
    """The bodies of the late answers, once there are so many."""

    def once():
        bodies = [entry["body"] for entry in core.records(thread, "do")]
        found = [body for body in bodies if body.get("late")]
        return found if len(found) == count else None

    return eventually(once, 10, "the late answer")


def spent(core, thread):
    told = core.ask(ShowQuery(thread))["spent"]
    return told["settled"], told["reserved"]
