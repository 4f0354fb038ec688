"""JSON to structs, with every error and where it is, not only the first."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal, TypeAlias, Union, cast, get_args, get_origin

import msgspec

from covend.patterns.query.spec import Spec
from covend.resolving import resolved

Problem: TypeAlias = dict[str, str]
"""``{"path": "$.fold.kind", "problem": "…"}``."""

UNSOUND: Final = object()
"""Data of which nothing can be used."""


def read(kind: Any, data: Any, path: str, problems: list[Problem]) -> Any:
    """What is sound of ``data``, or ``UNSOUND``; all that is wrong with it goes on the list.

    ``kind`` is a ``Spec``, a tuple or union of them, or whatever else msgspec converts to. Faulty
    members are left out where a default takes their place, so that the rest can be checked too.
    """
    if isinstance(kind, type) and issubclass(kind, Spec):
        return _struct(kind, data, path, problems)
    origin = get_origin(kind)
    if origin is tuple and isinstance(data, list | tuple):
        return _items(get_args(kind)[0], cast("list[Any]", data), path, problems)
    if origin in (Union, types.UnionType):
        specs = [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, Spec)]
        if specs and data is not None:
            return _one_of(specs, data, path, problems)
    return _leaf(kind, data, path, problems)


def _struct(kind: type[Spec], data: Any, path: str, problems: list[Problem]) -> Any:
    if not isinstance(data, Mapping):
        problems.append({"path": path, "problem": f"must be an object, not {_named(data)}"})
        return UNSOUND
    sound = members(kind, cast("Mapping[str, Any]", data), path, problems)
    needed = (name for name, one in fields_of(kind).items() if one.required)
    return sound if all(name in sound for name in needed) else UNSOUND


def members(
    kind: type[Spec], given: Mapping[str, Any], path: str, problems: list[Problem]
) -> dict[str, Any]:
    """The sound members of a struct; what is wrong with the others goes on the list."""
    fields = fields_of(kind)
    tag = kind.__struct_config__.tag_field
    sound: dict[str, Any] = {name: given[name] for name in given if name == tag}
    for name in given:
        if name not in fields and name != tag:
            known = ", ".join(fields)
            problems.append({"path": f"{path}.{name}", "problem": f"is unknown; there are {known}"})
    for name, one in fields.items():
        if name in given:
            found = read(one.type, given[name], f"{path}.{name}", problems)
            if found is not UNSOUND:
                sound[name] = found
        elif one.required:
            problems.append({"path": f"{path}.{name}", "problem": "is required"})
    return sound


@cache
def fields_of(kind: type[Spec]) -> dict[str, msgspec.structs.FieldInfo]:
    """A struct's fields by name; finding out takes long enough to remember it."""
    return {one.encode_name: one for one in msgspec.structs.fields(kind)}


def _items(kind: Any, data: list[Any], path: str, problems: list[Problem]) -> Any:
    """All or none of them: the others' places in the list must stay what they are."""
    found = [read(kind, item, f"{path}[{index}]", problems) for index, item in enumerate(data)]
    return UNSOUND if any(item is UNSOUND for item in found) else found


def _one_of(specs: list[type[Spec]], data: Any, path: str, problems: list[Problem]) -> Any:
    """One of several structs, told apart by their tag."""
    if len(specs) == 1 or not isinstance(data, Mapping):
        return _struct(specs[0], data, path, problems)
    tag_field = str(specs[0].__struct_config__.tag_field)
    tag = cast("Mapping[str, Any]", data).get(tag_field)
    by_tag = {one.__struct_config__.tag: one for one in specs}
    if not isinstance(tag, str) or tag not in by_tag:
        known = ", ".join(str(name) for name in by_tag)
        problems.append({"path": f"{path}.{tag_field}", "problem": f"must be one of {known}"})
        return UNSOUND
    return _struct(by_tag[tag], data, path, problems)


def _leaf(kind: Any, data: Any, path: str, problems: list[Problem]) -> Any:
    try:
        msgspec.convert(data, resolved(kind))
    except msgspec.ValidationError as failed:
        problem, _, inner = str(failed).partition(" - at `$")
        if choices := _choices(kind):
            problem = f"must be {choices}, not {_shown(data)}"
        problems.append({"path": path + inner.rstrip("`"), "problem": problem})
        return UNSOUND
    return data


def _choices(kind: Any) -> str:
    """The values that a member takes; empty where it is no matter of a few values."""
    if get_origin(kind) is Literal:
        names = [str(name) for name in get_args(kind)]
        return f"one of {', '.join(names)}" if len(names) > 1 else names[0]
    parts = [_choices(one) for one in get_args(kind) if one is not type(None)]
    return parts[0] if len(parts) == 1 else ""


def _shown(value: Any) -> str:
    return value[:50] if isinstance(value, str) else _named(value)


def _named(value: Any) -> str:
    return _NAMES.get(type(cast("object", value)), "something else")


_NAMES: dict[type, str] = {
    type(None): "null",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}
"""Types as JSON calls them."""
