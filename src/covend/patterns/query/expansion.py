"""How large a JSON Schema is once every reference in it is followed (P7).

A validator follows each reference where it stands. Definitions that refer twice to the next one
double its work each time, so that two kilobytes may keep it busy for hours. A reference back to
where it is used is counted once: how often a validator follows it depends on the answer, which is
finite, and no part of an answer is checked by it twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

MAX_REFERENCES = 10_000
"""How many references a schema may come to when each is followed wherever it stands."""
MAX_STEPS = 200_000
"""How many members of lists and objects are looked at to find that out."""
MAX_WAY = 400
"""How long a way through a schema may be, from part to part and along references."""

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
ANCHORS = ("$anchor", "$dynamicAnchor")
DEFINITIONS = frozenset({"$defs", "definitions"})
"""Members that count only where a reference leads to them."""
NAMED = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "dependencies", *DEFINITIONS}
)
"""Members that map names to schemas; a name may look like a keyword, and is none."""
NOWHERE = MAX_WAY + 1

_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")

Node = dict[str, Any]
Place = tuple[Any, str]
"""A part of a schema, and the document that references in it are relative to."""
Count = tuple[int, int]
"""How many references, and the place on the way here that one leads back to, else ``NOWHERE``."""


class _TooMuch(Exception):
    """The schema comes to too much; the argument says of what."""


def expansion_problem(schema: Node) -> str | None:
    """What is wrong with the references of a schema that is valid, or None.

    The schema is as it was read: each part is an object of its own. A reference back to where it
    is used (a recursive schema) counts once. Takes ``MAX_STEPS`` at most.
    """
    try:
        _Expansion(schema).count(schema, "")
    except _TooMuch as found:
        return str(found)
    return None


def is_recursive(schema: Node) -> bool:
    """Whether a reference of a schema leads back to where it is used; True where that is unclear.

    Definitions that nothing refers to do not count.
    """
    try:
        expansion = _Expansion(schema)
        expansion.count(schema, "")
    except (_TooMuch, RecursionError):
        return True
    return expansion.recursive


class _Expansion:
    """Counts references, each part once that leads back to nothing it came from.

    In a circle of references, what a part comes to depends on the way there: a count taken on one
    way would be too low on another. So such a part is counted anew on each way.

    A document is known by the end of its URL. Where two within one schema end alike, the larger
    of what a reference could mean counts.
    """

    def __init__(self, schema: Node) -> None:
        self.places: dict[str, list[Place]] = {"": [(schema, "")]}
        self.counts: dict[tuple[int, bool], int] = {}
        self.meant: dict[tuple[str, str], int] = {}
        self.targets: dict[tuple[str, str], list[Place]] = {}
        self.way: dict[tuple[int, bool], int] = {}
        self.steps = 0
        self.recursive = False
        self._name(schema, "", 0)

    def _name(self, value: Any, base: str, depth: int) -> None:
        """Note every subschema that has a name of its own."""
        _bounded(depth)
        if isinstance(value, dict):
            node = cast(Node, value)
            base = _base(node, base)
            names = [base] if isinstance(node.get("$id"), str) else []
            names += [f"{base}#{node[key]}" for key in ANCHORS if isinstance(node.get(key), str)]
            for name in names:
                self.places.setdefault(name, []).append((node, base))
        for _, part in _parts(value):
            self._name(part, base, depth + 1)

    def count(self, value: Any, base: str, named: bool = False) -> Count:
        """How many references there are in a part of the schema and in all that they lead to.

        ``named``: it may map names to schemas rather than be one.
        """
        if not isinstance(value, dict | list):
            return 0, NOWHERE
        self._step()
        name = (id(cast(Any, value)), named)
        if name in self.counts:
            return self.counts[name], NOWHERE
        if name in self.way:
            self.recursive = True
            return 0, self.way[name]
        here = self.way[name] = len(self.way)
        _bounded(here)
        base = _base(value, base)
        total, back = 0, NOWHERE
        for key, part in _parts(value):
            self._step()
            if key in DEFINITIONS and not named:
                continue
            if key in REFERENCES and isinstance(part, str):
                counted, nearest = self._followed(part, base)
            else:
                counted, nearest = self.count(part, base, key in NAMED)
            total, back = _few(total + counted), min(back, nearest)
        del self.way[name]
        if back > here:  # it is in no circle
            self.counts[name] = total
        return total, back if back < here else NOWHERE

    def _followed(self, reference: str, base: str) -> Count:
        """What one reference counts, with the most that it may lead to."""
        url, _, fragment = reference.partition("#")
        name = (_document(url) if url else base, fragment)
        if name in self.meant:
            return self.meant[name], NOWHERE
        total, back = 1, NOWHERE
        places = self._targets(*name)
        for place in places:
            counted, nearest = self.count(*place)
            total, back = max(total, 1 + counted), min(back, nearest)
        if all((id(value), False) in self.counts for value, _ in places):
            self.meant[name] = total
        return total, back

    def _targets(self, document: str, fragment: str) -> list[Place]:
        """What a reference may lead to; nothing where the validator has that itself."""
        if fragment and not fragment.startswith("/"):
            return self.places.get(f"{document}#{fragment}", [])
        if (document, fragment) not in self.targets:
            found = self.places.get(document, [])
            for step in _unescaped(fragment).split("/")[1:]:
                self._step(len(found))
                name = step.replace("~1", "/").replace("~0", "~")
                found = [(_member(value, name), _base(value, base)) for value, base in found]
            self.targets[document, fragment] = found
        return self.targets[document, fragment]

    def _step(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise _TooMuch(
                f"its parts come to more than {MAX_STEPS} when each reference is followed wherever "
                "it stands; let fewer definitions refer to one another in circles"
            )


def _few(references: int) -> int:
    if references > MAX_REFERENCES:
        raise _TooMuch(
            f"its references come to more than {MAX_REFERENCES} when each is followed wherever it "
            "stands; let fewer definitions refer more than once to the next"
        )
    return references


def _bounded(depth: int) -> None:
    if depth >= MAX_WAY:
        raise _TooMuch("its references lead through too many others")


def _document(url: str) -> str:
    return url.partition("#")[0].rpartition("/")[2]


def _base(value: Any, base: str) -> str:
    """The document that references in a part of a schema are relative to."""
    own = cast(Node, value).get("$id") if isinstance(value, dict) else None
    return _document(own) if isinstance(own, str) else base


def _member(value: Any, name: str) -> Any:
    """What JSON Pointer calls by this name in a value, or None."""
    if isinstance(value, dict):
        return cast(Node, value).get(name)
    if isinstance(value, list) and name.isdecimal() and len(name) < 10:
        items = cast("list[Any]", value)
        return items[int(name)] if int(name) < len(items) else None
    return None


def _unescaped(fragment: str) -> str:
    """A part of a URL without its percent signs."""
    data = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), fragment.encode())
    return data.decode(errors="replace")


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    """What a part of a schema has in it, with the keywords or names that it is under."""
    if isinstance(value, dict):
        return cast(Node, value).items()
    return [("", item) for item in cast("list[Any]", value)] if isinstance(value, list) else ()
