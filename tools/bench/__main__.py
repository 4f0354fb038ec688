"""``python -m tools.bench NAME [--json]``, or ``all``: measures, prints, and judges.

Ends with 0 when every figure keeps its limit, 1 when one does not, 2 when a bench cannot run
here. ``all`` gives each bench a process of its own, so that none inherits another's memory.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

import tools.bench
from tools.bench.figures import Missing, report

NAMES = (
    "gate",
    "streams",
    "swap",
    "fairness",
    "thrash",
    "burst",
    "whim",
    "clairvoyant",
    "actors",
    "box",
    "workflows",
    "gaps",
    "parked",
    "replay",
)
"""Every bench, in the order of docs/benchmarks.md."""


def main(argv: list[str] | None = None) -> int:
    """Runs one bench or all of them; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench")
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--json", action="store_true", help="print one JSON object per bench")
    given = parser.parse_args(argv)
    return run_all(given.json) if given.name == "all" else run_one(given.name, given.json)


def run_one(name: str, as_json: bool) -> int:
    if name not in available():
        print(f"bench {name}: there is no tools/bench/{name}.py", file=sys.stderr)
        return 2
    bench = importlib.import_module(f"tools.bench.{name}")
    try:
        measured = report(name, bench.run())
    except Missing as missing:
        print(f"bench {name}: {missing}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(measured, ensure_ascii=False))
    else:
        show(bench.TITLE, measured)
    return 0 if all(figure["ok"] for figure in measured["figures"].values()) else 1


def run_all(as_json: bool) -> int:
    """One process per bench; the worst exit status of them."""
    options = ["--json"] if as_json else []
    statuses: list[int] = []
    for name in NAMES:
        command = [sys.executable, "-m", "tools.bench", name, *options]
        statuses.append(subprocess.run(command, check=False).returncode)
    return max(abs(status) for status in statuses)


def available() -> set[str]:
    """The benches that are there."""
    return {module.name for module in pkgutil.iter_modules(tools.bench.__path__)}


def show(title: str, measured: dict[str, Any]) -> None:
    """Prints a report as a table."""
    here = measured["machine"]
    table = Table(title=f"{measured['bench']}: {title}", title_justify="left")
    table.caption = (
        f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB, "
        f"Linux {here['kernel']}, Python {here['python']}"
    )
    for heading in ("figure", "value", "unit", "limit", "", "reference"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for name, figure in measured["figures"].items():
        mark = "" if figure["limit"] is None else ("✓" if figure["ok"] else "[red]✗[/red]")
        reference = figure["reference"]
        table.add_row(
            name,
            number(figure["value"]),
            figure["unit"],
            figure["limit"] or "",
            mark,
            reference if isinstance(reference, str) else number(reference),
        )
    Console().print(table)


def number(value: float | None) -> str:
    """A number as people read it: three digits that count, thousands apart.

    >>> number(25317.4), number(0.12345), number(None)
    ('25,317', '0.123', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
