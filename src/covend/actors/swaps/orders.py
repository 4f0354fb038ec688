"""Swaps that an operator asked for by name: who waits for which coven, and which comes next."""

from __future__ import annotations

from typing import Any

from covend.runtime import Promise


class SwapOrders:
    """The orders in the order they came; each is answered exactly once. Owned by the arbiter."""

    def __init__(self) -> None:
        self._waiters: list[tuple[str, Promise]] = []
        self._wanted: list[str] = []

    def wait(self, coven: str, promise: Promise, begun: bool) -> None:
        """Somebody waits for ``coven``; with ``begun`` it is being opened already."""
        self._waiters.append((coven, promise))
        if not begun and coven not in self._wanted:
            self._wanted.append(coven)

    def next(self) -> str | None:
        """Take the coven that is to be opened next."""
        return self._wanted.pop(0) if self._wanted else None

    def answer(self, coven: str, answer: dict[str, Any] | Exception) -> None:
        """Tell everybody who waits for ``coven`` how it ended."""
        told = [promise for name, promise in self._waiters if name == coven]
        self._waiters = [waiter for waiter in self._waiters if waiter[0] != coven]
        if coven in self._wanted:
            self._wanted.remove(coven)
        for promise in told:
            if isinstance(answer, Exception):
                promise.fail(answer)
            else:
                promise.reply(answer)
