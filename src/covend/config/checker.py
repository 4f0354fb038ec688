"""What every check of a box file goes by: the box, where its parts stood, what did not convert."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec

from covend.config.convert import Converter, Report
from covend.config.errors import Path, did_you_mean
from covend.config.structs import Box


class Checker:
    """One box; ``raw`` is the document, ``converter`` knows where its parts stood."""

    def __init__(
        self, box: Box, raw: Mapping[str, Any], converter: Converter, report: Report
    ) -> None:
        self.box = box
        self.raw = raw
        self.where = converter.where
        self.failed = converter.failed
        self.report = report
        self.stones = {stone.name: stone for stone in box.soulstone}

    def path(self, part: msgspec.Struct, *more: str | int) -> Path:
        return (*self.where[id(part)], *more)

    def sound(self, path: Path, *keys: str) -> bool:
        """Whether these keys mean what the file says: what did not convert has its default."""
        return not any(
            failed[: len(path) + 1] == (*path, key) for failed in self.failed for key in keys
        )

    def declared(self, kind: str) -> list[str]:
        """Names in the document, also of parts that are wrong otherwise: they are not unknown."""
        parts: Any = self.raw.get(kind, ())
        if not isinstance(parts, list):
            return []
        tables = [cast(dict[str, Any], p) for p in cast(list[Any], parts) if isinstance(p, dict)]
        return [table["name"] for table in tables if isinstance(table.get("name"), str)]

    def refer(self, kind: str, names: Iterable[str], path: Callable[[str, int], Path]) -> None:
        known = self.declared(kind)
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name not in known:
                hint = did_you_mean(name, known) or f"; this file declares no [[{kind}]]"
                self.report(path(name, index), f"no {kind} is named {name!r}{hint}")
            elif name in seen:
                self.report(path(name, index), f"{name!r} is listed twice")
            seen.add(name)
