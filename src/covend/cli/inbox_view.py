"""How a person's tasks look in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from covend.cli.query_view import missing, short, when, whole

Task = Mapping[str, Any]
MINUTE = 60_000_000


def table(tasks: Sequence[Task]) -> RenderableType:
    """Tasks, one a line, in the order in which they are due."""
    view = Table(whole("task"), "state", "due", "for", "question", box=None, pad_edge=False)
    for task in sorted(tasks, key=lambda task: task["due"]):
        cells = (task["id"], task["state"], when(task["due"]), task["did"], short(task["question"]))
        view.add_row(*map(Text, cells))
    return view


def page(task: Task) -> RenderableType:
    """One task in full."""
    parts: list[RenderableType] = [
        Text(task["question"], "bold"),
        Text(f"{task['state']}, due {when(task['due'])}, for {task['did']}", "dim"),
    ]
    for title, member in (("about", "input"), ("shown", "show"), ("the answer", "answer_shape")):
        if task.get(member) not in (None, "", {}):
            parts.append(Text.assemble((f"{title}: ", "dim"), plain(task[member])))
    if task.get("left_out"):
        parts.append(Text(missing(task["left_out"]), "yellow"))
    return Group(*parts)


def promised(task: Task, wished: float | None) -> str:
    """What an acceptance came to: until when, and why that is not what was wished (µs)."""
    text = f"{task['state']}, due {when(task['due'])}"
    if wished is None or task["state"] != "accepted":
        return text
    if task["due"] < wished:
        return f"{text}: the query itself ends then, and cannot wait for {when(int(wished))}"
    if task["due"] > wished + MINUTE:
        return f"{text}: it was not due before {when(int(wished))} anyway"
    return text


def plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
