"""How large a JSON Schema is once every reference in it is followed (P7).

A validator follows each reference where it stands. Definitions that refer twice to the next one
double its work each time, so that two kilobytes may keep it busy for hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

MAX_REFERENCES = 10_000
"""How many references a schema may come to when each is followed wherever it stands."""

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
ANCHORS = ("$anchor", "$dynamicAnchor")

_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")

Node = dict[str, Any]
Place = tuple[Any, str]
"""A part of a schema, and the document that references in it are relative to."""


def expansion_problem(schema: Node) -> str | None:
    """What is wrong with the references of a schema that is valid, or None.

    One back to where it is used (a recursive schema) counts once: how often it is followed there
    is up to the answer, which has an end.
    """
    try:
        count = _Expansion(schema).count(schema, "")
    except RecursionError:
        return "its references lead through too many others"
    if count <= MAX_REFERENCES:
        return None
    return (
        f"its references come to more than {MAX_REFERENCES} when each is followed wherever it "
        "stands; let fewer definitions refer more than once to the next"
    )


def is_recursive(schema: Node) -> bool:
    """Whether a reference of a schema leads back to where it is used."""
    expansion = _Expansion(schema)
    expansion.count(schema, "")
    return expansion.recursive


class _Expansion:
    """Counts references, each subschema once.

    A document is known by the end of its URL. Where two within one schema end alike, the larger
    of what a reference could mean counts.
    """

    def __init__(self, schema: Node) -> None:
        self.places: dict[str, list[Place]] = {"": [(schema, "")]}
        self.counts: dict[int, int] = {}
        self.entered: set[int] = set()
        self.recursive = False
        self._name(schema, "")

    def _name(self, value: Any, base: str) -> None:
        """Note every subschema that has a name of its own."""
        if isinstance(value, dict):
            node = cast(Node, value)
            base = _base(node, base)
            names = [base] if isinstance(node.get("$id"), str) else []
            names += [f"{base}#{node[key]}" for key in ANCHORS if isinstance(node.get(key), str)]
            for name in names:
                self.places.setdefault(name, []).append((node, base))
        for part in _parts(value):
            self._name(part, base)

    def count(self, value: Any, base: str) -> int:
        """How many references there are in a part of the schema and in all that they lead to."""
        if not isinstance(value, dict | list):
            return 0
        name = id(cast(Any, value))
        if name in self.counts:
            return self.counts[name]
        if name in self.entered:
            self.recursive = True
            return 0
        self.entered.add(name)
        base = _base(value, base)
        total = sum(self.count(part, base) for part in _parts(value))
        for key in REFERENCES if isinstance(value, dict) else ():
            if isinstance(reference := cast(Node, value).get(key), str):
                meant = [self.count(*place) for place in self._targets(reference, base)]
                total += 1 + max(meant, default=0)
        self.counts[name] = total
        return total

    def _targets(self, reference: str, base: str) -> list[Place]:
        """What a reference may lead to; nothing where the validator has that itself."""
        url, _, fragment = reference.partition("#")
        document = _document(url) if url else base
        if fragment and not fragment.startswith("/"):
            return self.places.get(f"{document}#{fragment}", [])
        found = self.places.get(document, [])
        for step in _unescaped(fragment).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = [(_member(value, name), _base(value, base)) for value, base in found]
        return found


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
        return dict(enumerate(cast("list[Any]", value))).get(int(name))
    return None


def _unescaped(fragment: str) -> str:
    """A part of a URL without its percent signs."""
    data = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), fragment.encode())
    return data.decode(errors="replace")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast(Node, value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()
