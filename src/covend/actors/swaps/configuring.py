"""How the arbiter takes up a new configuration (G10).

What it takes away or starts otherwise is drained first, under the one in force; what is unchanged
is not touched. A part of the arbiter: it runs in its thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from covend.actors.admission.catalog import Catalog
from covend.actors.messages import ConfigInForce
from covend.actors.swaps.modelling import model_of
from covend.actors.swaps.refit import kept, outdated, unwanted
from covend.actors.swaps.transitions import Tick
from covend.config import Box
from covend.will.strategies import Guarded
from covend.will.transition import Limits

if TYPE_CHECKING:
    from covend.actors.swaps.arbiter import Arbiter

RETRY_SECONDS = 30.0
"""After a drain that was late, or a soulstone that would not go."""


class Configuring:
    """The configuration that is wanted and not yet in force, and when it is tried again."""

    def __init__(self, arbiter: Arbiter) -> None:
        self.arbiter = arbiter
        self.wanted: Box | None = None
        self.retry_at = 0.0

    def want(self, box: Box) -> None:
        """This one is to be in force; the latest counts."""
        self.wanted, self.retry_at = box, 0.0

    def look_back(self) -> None:
        """A new core: does anything still run by a file that changed while there was none (W25)?"""
        arbiter = self.arbiter
        if self.wanted is None and outdated(arbiter.box, arbiter.hands.running):
            self.wanted = arbiter.box

    def begin(self) -> bool:
        """Take up what is wanted, between two transitions; true where one began for it."""
        arbiter, box = self.arbiter, self.wanted
        if box is None or arbiter.ctx.now() < self.retry_at:
            return False
        alive, running = arbiter.hands.observe().alive, arbiter.hands.running
        outgoing = unwanted(model_of(box), arbiter.residency.open, alive) | outdated(box, running)
        if outgoing:
            arbiter.transitions.refit(box, outgoing)
        else:
            self.take_up(box)
            self.ended(done=True)
            arbiter.failures.mend()
            arbiter.push_admission()
        return arbiter.passage is not None

    def take_up(self, box: Box) -> frozenset[str]:
        """From now on this configuration is in force; returns who is always resident by it."""
        arbiter, residency, hands = self.arbiter, self.arbiter.residency, self.arbiter.hands
        self.wanted = None
        arbiter.box, arbiter.catalog, arbiter.model = box, Catalog(box), model_of(box)
        arbiter.limits = limits_of(box)
        stay = kept(arbiter.model, residency.open)
        for coven in [coven for coven in residency.open if coven not in stay]:
            residency.shut(coven, arbiter.ctx.now())
            hands.stop_tree(coven)
        residency.configure(arbiter.model)
        arbiter.judge = Guarded(arbiter.model, arbiter.strategy(arbiter.model))
        hands.configure(box)
        hands.tell_reactor(box.source)
        arbiter.ctx.tell("console", ConfigInForce(box))
        return arbiter.always()

    def ended(self, done: bool) -> None:
        """A configuration is taken up as a whole, or is to be tried again in a while."""
        if done:
            self.arbiter.hands.start_always()
            return
        self.wanted = self.wanted or self.arbiter.box
        self.retry_at = self.arbiter.ctx.now() + RETRY_SECONDS
        self.arbiter.ctx.timer("config", RETRY_SECONDS, Tick("consider"))


def limits_of(box: Box) -> Limits:
    """The deadlines of transitions, in the will's own words."""
    limits = box.transition
    return Limits(limits.drain, limits.host_action, limits.awaken, limits.attempts)
