"""How those who can be asked look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from covend.cli.query_view import whole
from covend.config.units import show_seconds


def table(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Responders, one a line."""
    view = Table(whole("id"), "kind", "is", "trust", "delay", "available", box=None, pad_edge=False)
    for one in found:
        delay = one["delay_secs"]
        cells = (
            one["id"],
            one["kind"],
            one["is"] or "",
            f"{one['trust']:.2f}",
            "" if delay is None else show_seconds(delay),
            standing(one),
        )
        view.add_row(*map(Text, cells))
    return view


def standing(one: Mapping[str, Any]) -> str:
    """Whether one would be asked now, and what would be missing then."""
    why, missing = one["why"], one["missing_env"]
    asked = "yes" if why is None else f"no: {why}"
    if not missing:
        return asked
    joint = "but" if why is None else "and"
    has = "has" if len(missing) == 1 else "have"
    return f"{asked}, {joint} {', '.join(missing)} {has} no value"
