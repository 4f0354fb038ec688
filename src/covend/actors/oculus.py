"""The oculus actor: reads the devices on a clock of its own and tells what it measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from covend.actors.messages import MemoryReading, NewConfig, ReadNow
from covend.config import Box
from covend.host.oculus import Oculus
from covend.host.units import observe
from covend.runtime import Actor, MailboxSpec

READ_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer's message: measure and tell."""
