"""Calling a function of this box: its answer, or why it has none (P8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from covend import functions
from covend.actors.calls.replies import failed
from covend.patterns.answers.understanding import Raw


def compute(name: str, call: Mapping[str, Any]) -> tuple[Raw, str | None]:
    """Call a function; its answer, or why it has none. It may take long: see ``is_quick``."""
    asked = request(call)
    try:
        function, argument = functions.find(name)
    except BaseException as error:  # to import somebody's module may raise anything
        return failed(error, transport=False), None
    try:
        value = json.loads(json.dumps(function(asked, argument)))  # a copy, which nobody changes
        if asked["shape"]["kind"] == "text" and not isinstance(value, str | None):
            value = json.dumps(value)
    except functions.Declined as declined:
        return Raw(), str(declined)
    except BaseException as error:  # it may do anything, and sys.exit() ends no more than its call
        return failed(error, transport=False, billable=True), None
    return Raw(body=value), None


def request(call: Mapping[str, Any]) -> dict[str, Any]:
    """What a function or a program is told: the question, and the key under which it is asked."""
    ask = {name: value for name, value in call["ask"].items() if name not in ("messages", "dial")}
    return {"key": call["key"], **ask, "shape": {"kind": "text", **ask["shape"]}}
