"""Finding the strategy a configuration names: by entry point, or by import path (W17)."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

GROUP = "covend.strategies"


class StrategyNotFound(ValueError):
    """No strategy of that name: says which there are, and how else to name one."""


def load_strategy(name: str) -> type[Any]:
    """The strategy class called ``name``: an entry point's name, or ``package.module:Class``.

    Raises ``StrategyNotFound``.
    """
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name in known:
        return known[name].load()
    module, _, attribute = name.partition(":")
    if attribute:
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise StrategyNotFound(f"whim.strategy {name!r} cannot be loaded: {error}") from error
    raise StrategyNotFound(
        f"whim.strategy is {name!r}: this installation knows {', '.join(sorted(known))}; another "
        "one is named by its import path, as in my_package.module:MyStrategy"
    )
