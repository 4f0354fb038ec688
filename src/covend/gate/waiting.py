"""The time of a request without a slot: its deadline, and comments for a stream (G2)."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from covend.gate.errors import Refusal

if TYPE_CHECKING:
    from covend.gate.exchange import Exchange


class Wait:
    """The timers of one exchange that waits. Whoever ends the wait calls ``end``."""

    __slots__ = ("comment", "exchange", "expiry")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        loop = exchange.gate.loop
        left = exchange.arrived + exchange.timeout - monotonic()
        self.expiry = loop.call_later(max(0.0, left), self._expired)
        self.comment = None
        if exchange.request.stream:
            pause = exchange.gate.limits.keepalive_comment_seconds
            self.comment = loop.call_later(pause, self._comment)

    def end(self) -> None:
        """No deadline and no comment from here on."""
        self.expiry.cancel()
        if self.comment is not None:
            self.comment.cancel()

    def _expired(self) -> None:
        exchange = self.exchange
        exchange.refuse(
            Refusal(
                504,
                "deadline_exceeded",
                f"{exchange.capability!r} did not become available within {exchange.timeout:g} s; "
                "a larger X-Covend-Timeout waits longer",
                where="X-Covend-Timeout",
                retry_after=exchange.gate.eta.get(exchange.capability),
            )
        )

    def _comment(self) -> None:
        gate = self.exchange.gate
        self.exchange.keep_company()
        self.comment = gate.loop.call_later(gate.limits.keepalive_comment_seconds, self._comment)
