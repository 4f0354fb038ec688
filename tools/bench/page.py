"""Turns ``python -m tools.bench all --json`` into docs/benchmarks.md.

``python -m tools.bench all --json | python -m tools.bench.page > docs/benchmarks.md``
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from typing import Any

INTRO = """# Benchmarks

Every figure here was made by the command above its table, on the machine named below it, with its
reference measured in the same run. All of them: `make bench` (`make bench-deps` first). This page:
`python -m tools.bench all --json | python -m tools.bench.page > docs/benchmarks.md`.
A figure without a limit is there to be read beside the others; ✘ marks a limit that was missed.
"""


def main() -> int:
    """Reads one JSON object per line and prints the page."""
    measured = [json.loads(line) for line in sys.stdin if line.startswith("{")]
    print(page(measured), end="")
    return 0


def page(measured: Iterable[dict[str, Any]]) -> str:
    """The whole page as Markdown."""
    parts = [INTRO]
    machine = ""
    for bench in measured:
        parts.append(section(bench))
        machine = describe(bench["machine"])
    parts.append(f"## The machine\n\n{machine}\n")
    return "\n".join(parts)


def section(bench: dict[str, Any]) -> str:
    """One bench: its title, its command, its figures."""
    name = bench["bench"]
    title = importlib.import_module(f"tools.bench.{name}").TITLE
    rows = [
        f"| {what.replace('_', ' ')} | {number(figure['value'])} {figure['unit']} | "
        f"{figure['limit'] or ''}{verdict(figure)} | {reference(figure['reference'])} |"
        for what, figure in bench["figures"].items()
    ]
    head = "| figure | value | limit | reference |\n|---|---|---|---|"
    return f"## {name}\n\n{title}\n\n`python -m tools.bench {name}`\n\n{head}\n" + "\n".join(
        [*rows, ""]
    )


def verdict(figure: dict[str, Any]) -> str:
    if figure["limit"] is None:
        return ""
    return " ✔" if figure["ok"] else " ✘"


def reference(value: object) -> str:
    return "" if value is None else number(value) if isinstance(value, int | float) else str(value)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def describe(machine: object) -> str:
    if isinstance(machine, dict):
        return ", ".join(f"{key}: {value}" for key, value in machine.items())
    return str(machine)


if __name__ == "__main__":
    sys.exit(main())
