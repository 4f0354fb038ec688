"""The JSON schema of a box file, for editors: made from the structs, never by hand."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from covend.config.structs import Box


def json_schema() -> dict[str, Any]:
    """The schema as plain data (JSON Schema 2020-12), with every key's meaning and default."""
    schema = msgspec.json.schema(Box)
    for definition in schema["$defs"].values():
        for name, key in list(definition.get("properties", {}).items()):
            _drop_null(key)
            _allow_units(key)
            _allow_units(key.get("additionalProperties"))
            if definition["title"] == "Box" and name == "source":
                del definition["properties"][name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _drop_null(key: dict[str, Any]) -> None:
    """TOML has no null: an optional key is left out, so the schema must not offer one."""
    if "anyOf" in key:
        options = [option for option in key.pop("anyOf") if option != {"type": "null"}]
        assert len(options) == 1, "the structs have no other unions"
        key.update({**options[0], **key})
    default = key.get("default", ...)
    if default is None:
        del key["default"]
    elif isinstance(default, dict):
        section = cast(dict[str, Any], default)
        key["default"] = {name: value for name, value in section.items() if value is not None}


def _allow_units(key: Any) -> None:
    """A size or duration, known by its examples, may be a string with a unit."""
    if isinstance(key, dict) and "examples" in key:
        number = cast(dict[str, Any], key)
        number["type"] = [number["type"], "string"]


def schema_text() -> str:
    """The text of `configs/covend.schema.json`, and of `covend check-config --schema`."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"
