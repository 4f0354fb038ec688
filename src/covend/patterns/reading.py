"""JSON to structs, with every error and where it is, not only the first."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, TypeAlias, Union, cast, get_args, get_origin

import msgspec

from covend.patterns.spec import Spec

Problem: TypeAlias = dict[str, str]
"""``{"path": "$.fold.kind", "problem": "…"}``."""


def misread(kind: Any, data: Any, path: str = "$") -> list[Problem]:
    """Everything that keeps ``data`` from being a ``kind``; empty where it is one.

    ``kind`` is a ``Spec``, a tuple or union of them, or whatever else msgspec converts to.
    """
    if isinstance(kind, type) and issubclass(kind, Spec):
        return _struct(kind, data, path)
    origin = get_origin(kind)
    if origin is tuple and isinstance(data, list | tuple):
        item_kind = get_args(kind)[0]
        items = enumerate(cast("list[Any]", data))
        return [one for i, item in items for one in misread(item_kind, item, f"{path}[{i}]")]
    if origin in (Union, types.UnionType):
        specs = [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, Spec)]
        if specs and data is not None:
            return _one_of(specs, data, path)
    return _leaf(kind, data, path)


def _struct(kind: type[Spec], data: Any, path: str) -> list[Problem]:
    if not isinstance(data, Mapping):
        return [{"path": path, "problem": f"must be an object, not {_named(data)}"}]
    given = cast("Mapping[str, Any]", data)
    fields = {one.encode_name: one for one in msgspec.structs.fields(kind)}
    tag = kind.__struct_config__.tag_field
    found = [
        {"path": f"{path}.{name}", "problem": f"is unknown; there are {', '.join(fields)}"}
        for name in given
        if name not in fields and name != tag
    ]
    for name, one in fields.items():
        if name in given:
            found += misread(one.type, given[name], f"{path}.{name}")
        elif one.required:
            found.append({"path": f"{path}.{name}", "problem": "is required"})
    return found


def _one_of(specs: list[type[Spec]], data: Any, path: str) -> list[Problem]:
    """One of several structs, told apart by their tag."""
    if len(specs) == 1:
        return _struct(specs[0], data, path)
    if not isinstance(data, Mapping):
        return [{"path": path, "problem": f"must be an object, not {_named(data)}"}]
    tag_field = str(specs[0].__struct_config__.tag_field)
    tag = cast("Mapping[str, Any]", data).get(tag_field)
    by_tag = {one.__struct_config__.tag: one for one in specs}
    if not isinstance(tag, str) or tag not in by_tag:
        known = ", ".join(str(name) for name in by_tag)
        return [{"path": f"{path}.{tag_field}", "problem": f"must be one of {known}"}]
    return _struct(by_tag[tag], data, path)


def _leaf(kind: Any, data: Any, path: str) -> list[Problem]:
    try:
        msgspec.convert(data, kind)
    except msgspec.ValidationError as failed:
        problem, _, inner = str(failed).partition(" - at `$")
        return [{"path": path + inner.rstrip("`"), "problem": problem}]
    return []


def _named(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
