"""What the demo shows: the box live, then a table of what happened."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from covend.demo.box import DemoBox
from covend.demo.clients import Request
from covend.demo.scenes import Check
from covend.runtime import ActorError

REFRESH_SECONDS = 0.25


class Screen:
    """A live picture of the box on a terminal; plain lines where there is none."""

    def __init__(self, console: Console, box: DemoBox) -> None:
        self.console = console
        self.box = box
        self.lines: deque[str] = deque(maxlen=14)
        self.events: list[dict[str, Any]] = []
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, name="demo-screen", daemon=True)

    def say(self, text: str) -> None:
        """One line of the story. Any thread."""
        self.lines.append(text)
        if self.live is None:
            self.console.print(text, highlight=False)

    def __enter__(self) -> Screen:
        if self.live is not None:
            self.live.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.thread.join(10.0)
        if self.live is not None:
            self.live.stop()

    def _run(self) -> None:
        seen, incarnation = 0, 0
        while not self.ending.wait(REFRESH_SECONDS):
            try:
                status = self.box.status()
                news = self.box.events(seen)
            except (ActorError, OSError):
                continue  # the core is starting again: the picture stands still meanwhile
            if news["incarnation"] != incarnation:
                incarnation, seen = news["incarnation"], 0
                continue
            for event in news["events"]:
                seen = event["seq"]
                self.events.append(event)
                if event["kind"] in ("transition", "adopted", "job", "alert"):
                    self.say(f"  · {event['text']}")
            if self.live is not None:
                self.live.update(self.picture(status), refresh=True)

    def picture(self, status: dict[str, Any]) -> Group:
        """Devices, covens, the queue and the transition, above the last lines of the story."""
        story = Text("\n".join(self.lines))
        return Group(covens_table(status), queue_line(status), Panel(story, title="what happens"))


def covens_table(status: dict[str, Any]) -> Table:
    table = Table(title=device_line(status), expand=True)
    for column in ("coven", "state", "soulstone", "pid", "memory", "slots", "waiting"):
        table.add_column(column)
    for coven in status["covens"]:
        for index, stone in enumerate(coven["soulstones"]):
            table.add_row(
                coven["name"] if index == 0 else "",
                coven["state"] if index == 0 else "",
                f"{stone['name']} ({stone['state']})",
                str(stone["pid"] or "-"),
                f"{stone['memory'] / 2**20:.0f} MiB",
                f"{stone['in_use']}/{stone['slots']}",
                str(stone["waiting"]),
                style="bold green" if coven["state"] == "open" else "",
            )
    return table


def device_line(status: dict[str, Any]) -> str:
    return "   ".join(
        f"{device['name']}: {device['used'] / 2**20:.0f} of {device['capacity'] / 2**20:.0f} MiB"
        for device in status["devices"]
    )


def queue_line(status: dict[str, Any]) -> Text:
    queue = ", ".join(
        f"{row['count']}× {row['capability']} ({row['class']}, {row['oldest']:.1f} s)"
        for row in status["queue"]
    )
    move = status["transition"]
    doing = f"   swap → {move['target']}: {move['phase']}" if move else ""
    return Text(f"waiting: {queue or 'nobody'}{doing}")


def summary(requests: Iterable[Request], events: list[dict[str, Any]], seconds: float) -> Table:
    """Requests, tokens, swaps, longest wait, drops."""
    every = list(requests)
    swaps = sum(e["kind"] == "phase" and e["data"].get("phase") == "open" for e in events)
    waits = [request.waited for request in every if request.outcome == "answered"]
    table = Table(title="covend demo", show_header=False)
    rows = {
        "requests": len(every),
        "answered whole": sum(request.outcome == "answered" for request in every),
        "ended in a proper error": sum(request.outcome == "error" for request in every),
        "dropped": sum(request.outcome == "dropped" for request in every),
        "tokens streamed": sum(request.chunks for request in every),
        "swaps": swaps,
        "wait for the first token, median": f"{median(waits):.2f} s" if waits else "-",
        "wait for the first token, longest": f"{max(waits):.2f} s" if waits else "-",
        "seconds": f"{seconds:.0f}",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def verdicts(checks: Iterable[Check]) -> Table:
    """Everything that had to happen."""
    table = Table(title="what had to happen")
    for column in ("", "what", "seen"):
        table.add_column(column)
    for check in checks:
        table.add_row("✔" if check.ok else "✘", check.what, check.seen)
    return table
