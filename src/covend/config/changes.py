"""What differs between two readings of a box file, so that a reload touches only that (G10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from covend.config.structs import Box

RESTART = (
    "name", "listen", "gates", "ghouls", "ghoul_slots", "run_dir", "state_dir", "lexical_reserve",
    "device", "reactor", "oculus", "phylactery",
)  # fmt: skip
"""Top-level keys that a running box cannot take over; the rest it can."""

RESTART_WITHIN = (
    ("gate", "tls_cert"),
    ("gate", "tls_key"),
    ("alerts", "keep"),
    ("queries", "max_calls"),
)
"""The same, inside sections of which the rest can be taken over."""

_LISTS = ("soulstone", "coven", "role", "key", "responder", "schema")


class Delta(msgspec.Struct, frozen=True):
    """Names of the parts of one kind that were added, removed or changed, sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed: named parts, whole sections by key, and what needs a restart by path."""

    soulstone: Delta = Delta()
    coven: Delta = Delta()
    role: Delta = Delta()
    key: Delta = Delta()
    responder: Delta = Delta()
    schema: Delta = Delta()
    sections: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        parts = (getattr(self, kind) for kind in _LISTS)
        return any((*parts, self.sections, self.restart))


def diff(old: Box, new: Box) -> Changes:
    """What `new` changes in `old` (G10). `restart` has the paths a running box cannot take over.

    A section is in `sections` only for what can be taken over at once.
    """
    within = [
        (section, key)
        for section, key in RESTART_WITHIN
        if getattr(getattr(old, section), key) != getattr(getattr(new, section), key)
    ]
    restart = [f"$.{key}" for key in RESTART if getattr(old, key) != getattr(new, key)]
    restart += [f"$.{section}.{key}" for section, key in within]
    return Changes(
        **{kind: _delta(getattr(old, kind), getattr(new, kind)) for kind in _LISTS},
        sections=tuple(
            section
            for section in ("whim", "transition", "gate", "watchdog", "alerts", "queries")
            if _live(getattr(old, section), section) != _live(getattr(new, section), section)
        ),
        restart=tuple(restart),
    )


def _live(section: msgspec.Struct, name: str) -> dict[str, Any]:
    """A section's values without those that need a restart."""
    fixed = {key for part, key in RESTART_WITHIN if part == name}
    return {
        key: value for key, value in msgspec.structs.asdict(section).items() if key not in fixed
    }


def _delta(old: Sequence[Any], new: Sequence[Any]) -> Delta:
    before = {part.name: part for part in old}
    after = {part.name: part for part in new}
    return Delta(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(
            sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
        ),
    )
