"""What a reactor needs of the thing that really starts and stops soulstones.

The process driver (``covend.host.process_driver``) is the only one; another would implement the
same methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from covend.config import Soulstone
from covend.host.units import UnitState

OnExit = Callable[[UnitState, int | None], None]
"""Called once per unit that ended, from a thread of the driver, with the status if it is known."""


class DriverError(Exception):
    """A soulstone could not be started or stopped; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a new reactor found: ``adopted`` are watched from now on, ``reaped`` were ended."""

    adopted: tuple[str, ...]
    reaped: tuple[str, ...]


class Driver(Protocol):
    """Starts, stops and recognises soulstones. Methods block and may be called from any thread."""

    def adopt(self) -> Adoption:
        """Watch what an earlier reactor started; end what belongs to nobody (W25)."""
        ...

    def observe(self) -> dict[str, UnitState]:
        """What is there now, by name."""
        ...

    def start(self, name: str) -> UnitState:
        """Start a soulstone; returns once its process runs. Raises ``DriverError``."""
        ...

    def stop(self, name: str, seconds: float) -> None:
        """End a soulstone with all its processes: asked first, killed after ``seconds``.

        Returns once all are gone for certain; raises ``DriverError`` when one outlives even that.
        """
        ...

    def configure(self, soulstones: Mapping[str, Soulstone]) -> None:
        """Take over a new configuration; nothing is started or stopped for it."""
        ...

    def close(self) -> None:
        """Report no more exits; the soulstones live on."""
        ...
