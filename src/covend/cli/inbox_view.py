"""How a person's tasks look in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from covend.cli.query_view import missing, short, when

Task = Mapping[str, Any]
MINUTE = 60_000_000


def listing(tasks: Sequence[Task]) -> RenderableType:
    """Tasks in the order in which they are due; each id is whole, also on a narrow terminal."""
    lines: list[RenderableType] = []
    for task in sorted(tasks, key=lambda task: task["due"]):
        state = f"  {standing(task)}, due {when(task['due'])}"
        lines.append(Text.assemble((task["id"], "bold"), state))
        about = Text.assemble((f"for {task['did']}: ", "dim"), short(task["question"]))
        lines.append(Padding(about, (0, 0, 0, 4), expand=False))
    return Group(*lines)


def page(task: Task) -> RenderableType:
    """One task in full."""
    parts: list[RenderableType] = [
        Text(task["question"], "bold"),
        Text(f"{standing(task)}, due {when(task['due'])}, for {task['did']}", "dim"),
    ]
    for title, member in (("about", "input"), ("shown", "show"), ("the answer", "answer_shape")):
        if task.get(member) not in (None, "", {}):
            parts.append(Text.assemble((f"{title}: ", "dim"), plain(task[member])))
    if task.get("left_out"):
        parts.append(Text(missing(task["left_out"]), "yellow"))
    return Group(*parts)


def standing(task: Task) -> str:
    """A task's state; where somebody else alone promised an answer, who that is."""
    others = task.get("promised_by") or ()
    if task["state"] != "accepted" or not others or task["did"] in others:
        return task["state"]
    return f"{' and '.join(others)} promised an answer"


def promised(task: Task, wished: float | None) -> str:
    """What an acceptance came to: until when, and why that is not what was wished (µs)."""
    text = f"{task['state']}, due {when(task['due'])}"
    if wished is None or task["state"] != "accepted":
        return text
    if task["due"] < wished:
        return f"{text}: the query itself ends then, and does not wait for {when(int(wished))}"
    if task["due"] > wished + MINUTE:
        return (
            f"{text}, as before: {when(int(wished))} is sooner, and an eta can only make it later"
        )
    return text


def plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
