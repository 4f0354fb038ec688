"""A real model server as a soulstone of the box to strike at: the demo's, from PyPI alone."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tools.chaos.box import Stone


@dataclass(frozen=True, slots=True)
class RealStone(Stone):
    """One llama.cpp server of SmolLM2-135M. ``context`` is in tokens, for each slot."""

    context: int = 256

    def command(self, journal: Path) -> tuple[str, ...]:
        """What starts it; it keeps no journal."""
        return (
            *(sys.executable, "-m", "covend.demo.soulstone", "--alias", self.name),
            *("--port", str(self.port), "--parallel", str(self.slots)),
            *("--ctx", str(self.context), "--threads", "1"),
        )
