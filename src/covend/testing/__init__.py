"""What covend's own authors test with, as public API.

``covend.testing.plugin`` is a pytest plugin: with ``-p covend.testing.plugin`` every test that
leaves a thread, a descriptor, a socket or a process behind fails, by name. ``covend.testing.crash``
kills any program at every gap between two of its I/O calls (docs/crash-kit.md). The names below
are imported at first use, so that a fake soulstone started from here is up within milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from covend.testing import crash
    from covend.testing.simulation import schedules, simulated
    from covend.testing.soulstones import FakeSoulstone, fake_command
    from covend.testing.text import missing_token, token_text
    from covend.testing.waiting import eventually, free_port

_HOMES = {
    "FakeSoulstone": "soulstones",
    "crash": "crash",
    "eventually": "waiting",
    "fake_command": "soulstones",
    "free_port": "waiting",
    "missing_token": "text",
    "schedules": "simulation",
    "simulated": "simulation",
    "token_text": "text",
}

__all__ = [
    "FakeSoulstone",
    "crash",
    "eventually",
    "fake_command",
    "free_port",
    "missing_token",
    "schedules",
    "simulated",
    "token_text",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'covend.testing' has no attribute {name!r}")
    home = importlib.import_module(f"covend.testing.{_HOMES[name]}")
    return home if name == "crash" else getattr(home, name)
