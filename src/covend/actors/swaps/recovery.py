"""How a new arbiter begins: it observes, adopts what lives, and reaps what is nobody's (W25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from covend.actors.asking_store import SERVING_SECONDS, ask_store
from covend.actors.runs.legible import legible
from covend.actors.swaps.adopt import adopt
from covend.phylactery.actor import Append, Query
from covend.phylactery.records import record

if TYPE_CHECKING:
    from covend.actors.swaps.arbiter import Arbiter


def recover(arbiter: Arbiter) -> None:
    """Look at the world before anything else, and take over what lives (W25).

    Runs in the arbiter's thread. Raises what the phylactery answers when it cannot be read: then
    the arbiter is started again, since without the records it might undo a transition.
    """
    residency, hands = arbiter.residency, arbiter.hands
    query = Query(kind="learned", limit=1, damaged=True)
    stored = ask_store(arbiter.ctx, query, SERVING_SECONDS)
    legible(arbiter.ctx, stored, lambda entry: residency.learner.restore(entry["body"]))
    under_way = open_transition(arbiter)
    alive = hands.observe().alive
    adoption = adopt(arbiter.model, alive, under_way)
    now = arbiter.ctx.now()
    for coven in adoption.covens:
        residency.open[coven] = now
        residency.ledger.hold(residency.managed(coven))
        hands.start_tree(coven)
    residency.closed = set()
    hands.start_always()
    wanted = arbiter.present_world()
    if adoption.reap or wanted - alive.keys():
        hands.write_intent(wanted, adoption.reap)
    names = ", ".join(adoption.covens) or "nothing"
    arbiter.event("adopted", f"the core starts: {names} resident", {"alive": dict(alive)})


def open_transition(arbiter: Arbiter) -> str | None:
    """The target of a transition that was under way when the last core died, now closed as left."""
    query = Query(kind="transition", limit=1)
    found = ask_store(arbiter.ctx, query, SERVING_SECONDS)
    if not found or found[0]["act"] == "KNOW" or "target" not in found[0]["body"]:
        return None
    body = {**found[0]["body"], "phase": "left by a dead core"}
    entry = record(found[0]["thread"], "transition", body, actor="arbiter")
    arbiter.ctx.tell("phylactery", Append([entry]))
    return str(body["target"])
