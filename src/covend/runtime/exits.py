"""Why an actor ended: the reasons a ``Down`` carries."""

from __future__ import annotations


class Exit:
    """The reason for an exit; ``abnormal`` says whether a transient child is restarted (S5).

    Two reasons are equal when they are of one kind and say the same (errors by identity).
    """

    __slots__ = ("abnormal", "kind")

    def __init__(self, kind: str, *, abnormal: bool) -> None:
        self.kind = kind
        self.abnormal = abnormal

    def says(self) -> object:
        """Return what the reason carries besides its kind."""
        return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Exit):
            return NotImplemented
        return self.kind == other.kind and self.says() == other.says()

    def __hash__(self) -> int:
        return hash(self.kind)

    def __str__(self) -> str:
        carried = self.says()
        return self.kind if carried is None else f"{self.kind}({carried})"

    def __repr__(self) -> str:
        carried = self.says()
        return self.kind if carried is None else f"{self.kind}({carried!r})"


class Failed(Exit):
    """The actor raised ``error`` and nothing declared it."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        super().__init__("failed", abnormal=True)
        self.error = error

    def says(self) -> object:
        return self.error

    def __str__(self) -> str:
        return f"failed({type(self.error).__name__}: {self.error})"


class Escalated(Exit):
    """A supervisor gave up because of ``cause``; abnormal, so it cannot die silently (S6)."""

    __slots__ = ("cause",)

    def __init__(self, cause: Exit) -> None:
        super().__init__("escalated", abnormal=True)
        self.cause = cause

    def says(self) -> object:
        return self.cause


NORMAL = Exit("normal", abnormal=False)
"""The actor was done."""
SHUTDOWN = Exit("shutdown", abnormal=False)
"""Somebody asked it to stop."""
KILLED = Exit("killed", abnormal=True)
"""A process was killed; a thread never is (S15)."""
NOPROC = Exit("noproc", abnormal=True)
"""There was nobody of that name when the monitor was set (S9)."""
ZOMBIE = Exit("zombie", abnormal=True)
"""It ignored its shutdown and was fenced; its thread may still run (S15)."""

PLAIN = {plain.kind: plain for plain in (NORMAL, SHUTDOWN, KILLED, NOPROC, ZOMBIE)}
"""The reasons that carry nothing, by kind: what the wire needs to rebuild them."""
