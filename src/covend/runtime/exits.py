"""Why an actor ended: the reasons a ``Down`` carries."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Exit:
    """The reason for an exit; ``abnormal`` says whether a transient child is restarted (S5)."""

    kind: str
    abnormal: bool

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True)
class Failed(Exit):
    """The actor raised ``error`` and nothing declared it."""

    kind: str = field(default="failed", init=False)
    abnormal: bool = field(default=True, init=False)
    error: BaseException

    def __str__(self) -> str:
        return f"failed({type(self.error).__name__}: {self.error})"


@dataclass(frozen=True)
class Escalated(Exit):
    """A supervisor gave up because of ``cause``; abnormal, so it cannot die silently (S6)."""

    kind: str = field(default="escalated", init=False)
    abnormal: bool = field(default=True, init=False)
    cause: Exit

    def __str__(self) -> str:
        return f"escalated({self.cause})"


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

PLAIN = {exit.kind: exit for exit in (NORMAL, SHUTDOWN, KILLED, NOPROC, ZOMBIE)}
"""The reasons that carry nothing, by kind: what the wire needs to rebuild them."""
