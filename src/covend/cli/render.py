"""The box's answers as tables and trees for people. Reads plain data, asks nobody.

Every value is shown as text, never as markup: names and reasons come from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from covend.config.units import show_seconds, show_size

_STATE_STYLE = {
    "open": "green", "ready": "green", "running": "green", "cold": "dim", "absent": "dim",
    "failed": "red", "quarantined": "red", "zombie": "red", "loading": "yellow",
}  # fmt: skip


def status_view(status: Mapping[str, Any]) -> RenderableType:
    """The whole answer of `StatusQuery`."""
    up = show_seconds(status.get("uptime") or 0)
    title = f"box {status.get('box', '?')}, core up {up}, incarnation " + str(
        status.get("core_incarnation", "?")
    )
    parts: list[RenderableType] = [Text(title, style="bold"), _devices(status), _covens(status)]
    parts.append(_queue(status))
    parts.append(Text(transition_line(status.get("transition"))))
    parts.append(Text(jobs_line(status.get("jobs") or {})))
    if status.get("decision"):
        parts.append(Text(f"last decision: {decision_line(status['decision'])}"))
    alerts = cast(list[Any], status.get("alerts") or [])
    parts += [Text(f"alert: {_alert(alert)}", style="bold red") for alert in alerts[-5:]]
    return Group(*parts)


def transition_line(transition: Mapping[str, Any] | None) -> str:
    """One line about the transition under way."""
    if not transition:
        return "transition: none"
    line = f"transition {transition.get('id')}: to {transition.get('target')}, "
    line += f"{transition.get('phase')} for {show_seconds(transition.get('since') or 0)}, "
    line += f"attempt {transition.get('attempt', 1)}"
    left = transition.get("left")
    return line if left is None else f"{line}, {show_seconds(max(0.0, left))} left"


def jobs_line(jobs: Mapping[str, Any]) -> str:
    """One line about the ghouls' jobs."""
    if "unavailable" in jobs:
        return f"jobs: unavailable ({jobs['unavailable']})"
    states = ("queued", "running", "parked", "done", "failed")
    return "jobs: " + ", ".join(f"{jobs.get(state, 0)} {state}" for state in states)


def decision_line(decision: Mapping[str, Any]) -> str:
    """One line about a decision: what it says first, then the scalars beside it."""
    pairs = [
        f"{key} {_plain(value)}"
        for key, value in decision.items()
        if value is not None and not isinstance(value, (dict, list))
    ]
    return ", ".join(pairs)


def swap_line(coven: str, answer: object) -> str:
    """One line about a swap that has ended."""
    facts: dict[str, Any] = {}
    if isinstance(answer, dict):
        facts = cast(dict[str, Any], answer)
    line = f"{coven} is {facts.get('state', 'open')}"
    if facts.get("seconds") is not None:
        line += f" after {show_seconds(facts['seconds'])}"
    return line + (f" (transition {facts['id']})" if facts.get("id") else "")


def ps_view(node: Mapping[str, Any]) -> RenderableType:
    """One process's supervision tree, or why it did not tell it."""
    if "error" in node:
        return Text(f"{node['node']}: no answer ({node['error']})", style="red")
    tree = Tree(Text(f"{node['node']} (pid {node['pid']})", style="bold"))
    for child in _rows(node.get("tree")):
        _branch(tree, child)
    return tree


def why_view(answer: Mapping[str, Any]) -> RenderableType:
    """The stored records of one decision, transition or request, reasons and all."""
    tree = Tree(Text(str(answer.get("id", "")), style="bold"))
    for record in _rows(answer.get("records")):
        head = " ".join(str(record[key]) for key in ("at", "kind", "actor") if record.get(key))
        _data(tree.add(Text(head or "record")), record.get("data", record.get("body", record)))
    return tree


def _devices(status: Mapping[str, Any]) -> Table:
    table = _table("device", "capacity", "used", "budget", "resident")
    for device in _rows(status.get("devices")):
        sizes = [show_size(device.get(key) or 0) for key in ("capacity", "used", "budget")]
        table.add_row(
            _t(device["name"]), *sizes, _t(", ".join(map(str, device.get("resident") or ())) or "–")
        )
    return table


def _covens(status: Mapping[str, Any]) -> Table:
    table = _table(
        "coven", "state", "open for", "soulstone", "state", "pid", "memory", "in use", "waiting"
    )
    for coven in _rows(status.get("covens")):
        opened = coven.get("opened_for")
        head = [
            _t(coven["name"]),
            _state(coven["state"]),
            _t("–" if opened is None else show_seconds(opened)),
        ]
        for stone in _rows(coven.get("soulstones")):
            used = f"{stone.get('in_use', 0)}/{stone.get('slots', '?')}"
            table.add_row(
                *head,
                _t(stone["name"]),
                _state(stone["state"]),
                _t(stone.get("pid") or "–"),
                _t(show_size(stone["memory"]) if stone.get("memory") else "–"),
                _t(used),
                _t(stone.get("waiting", 0)),
            )
            head = [_t(""), _t(""), _t("")]
    return table


def _queue(status: Mapping[str, Any]) -> RenderableType:
    rows = _rows(status.get("queue"))
    if not rows:
        return Text("nothing waits")
    table = _table("waits for", "class", "requests", "oldest")
    for row in rows:
        oldest = show_seconds(row.get("oldest") or 0)
        table.add_row(_t(row["capability"]), _t(row["class"]), _t(row["count"]), _t(oldest))
    return table


def _rows(value: object) -> list[dict[str, Any]]:
    """A list of tables in an answer; nothing where it is missing."""
    return cast(list[dict[str, Any]], value or [])


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _branch(tree: Tree, child: Mapping[str, Any]) -> None:
    line = Text(str(child["name"]))
    if child.get("pid"):
        line.append(f"  pid {child['pid']}")
    line.append(f"  {child.get('state', '')}", _STATE_STYLE.get(str(child.get("state")), ""))
    if child.get("restarts"):
        line.append(f"  {child['restarts']} restarts", "yellow")
    if child.get("mailbox"):
        line.append(f"  {child['mailbox']} in the mailbox", "yellow")
    branch = tree.add(line)
    for below in _rows(child.get("children")):
        _branch(branch, below)


def _data(tree: Tree, data: object) -> None:
    if isinstance(data, dict):
        for key, value in cast(dict[str, object], data).items():
            if isinstance(value, (dict, list)) and value:
                _data(tree.add(Text(f"{key}:")), cast(object, value))
            else:
                tree.add(Text(f"{key}: {_plain(cast(object, value))}"))
    elif isinstance(data, list):
        for item in cast(list[object], data):
            if isinstance(item, dict):
                _data(tree.add(Text("–")), cast(object, item))
            else:
                tree.add(Text(_plain(item)))
    else:
        tree.add(Text(_plain(data)))


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return "–" if value is None else str(value)


def _alert(alert: object) -> str:
    return (
        str(cast(dict[str, Any], alert).get("text", alert))
        if isinstance(alert, dict)
        else str(alert)
    )


def _t(value: object) -> Text:
    return Text(str(value))


def _state(state: str) -> Text:
    return Text(state, style=_STATE_STYLE.get(state, "yellow"))
