"""One call in the courier's hands: what is under way for it, and what may be done with it (P4)."""

from __future__ import annotations

from dataclasses import dataclass

from covend.actors.calls.outside import Work
from covend.actors.calls.turns import Lane
from covend.actors.runs.messages import Dispatch, Returned
from covend.patterns.answers.understanding import Raw


@dataclass(slots=True)
class Errand:
    """One call in hand: waiting for its turn, under way, or with its ``answer`` to be recorded.

    ``begun`` says that it went out, ``withdrawn`` that nobody waits for it. ``tries`` counts an
    operator's orders to do it again, ``refusals`` how often its slot heard that the responder is
    busy; ``refusal`` is the last of those, and ``rests_until`` when it may be asked again.
    """

    name: str
    order: Dispatch
    began: float
    until: float
    work: Work | None = None
    job: str | None = None
    answer: Returned | None = None
    begun: bool = False
    unclear: bool = False
    withdrawn: bool = False
    tries: int = 0
    refusals: int = 0
    refusal: Raw | None = None
    rests_until: float = 0.0

    @property
    def key(self) -> str:
        """The idempotency key."""
        return str(self.order.call["key"])

    @property
    def local(self) -> bool:
        """Whether the box's own ghouls do it."""
        return self.order.responder.kind == "llm" and self.order.responder.endpoint is None

    @property
    def lane(self) -> Lane:
        """Whom it keeps busy: by its host, its program, or the name of its function."""
        responder = self.order.responder
        address = responder.url or responder.endpoint or ""
        host = address.partition("://")[2].partition("/")[0].lower()
        program = responder.command[0] if responder.command else ""
        function = (responder.function or "").partition(":")[0]
        return Lane(host or program or function, responder.id)

    @property
    def paid(self) -> bool:
        """Whether it may cost money."""
        return self.order.call["reserved"] > 0

    @property
    def repeatable(self) -> bool:
        """Whether what may have been carried out may be carried out again (P4)."""
        return self.order.policy == "redispatch" and self.order.responder.idempotent

    @property
    def repeated(self) -> bool:
        """Whether its key may have been sent before: by another attempt, or before a crash."""
        return self.order.again or self.tries > 0 or self.key != self.name

    @property
    def untouched(self) -> bool:
        """Whether nobody can have worked for it, in this life of the core or another."""
        return not (self.begun or self.repeated)
