"""What the root tells its user of a process that ended by itself: why, and where more stands."""

from __future__ import annotations

import sys
from pathlib import Path

from covend.supervisors import Report

AGAIN_SECONDS = 600.0
"""Whoever dies over and over of the same is mentioned this often."""
MOST_BYTES = 2000
"""So much of the end of a log is looked at."""


class LastWords:
    """Hears the reports of the root's supervisor, in its thread, and writes to standard error."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.began: dict[str, int] = {}
        """Where in its log a process began."""
        self.told: dict[str, tuple[str, float]] = {}
        """What was told of a process last, and when."""

    def __call__(self, report: Report) -> None:
        child = report.child
        log = self.logs / f"{child}.log"
        match report.decision:
            case "started":
                self.began[child] = size(log)
            case "wait":
                words = last_words(log, self.began.get(child, 0))
                why = report.reason and (report.reason.says() or report.reason)
                self.tell(report, "\n".join([f"{child} ended: {why}; see {log}", *words]))
            case "escalate":
                self.tell(report, f"giving up: {child} was started too often; see {log}")
            case _:
                pass  # stopped, restarted: as it should be

    def tell(self, report: Report, text: str) -> None:
        """Say it, unless it was the last thing said of this process not long ago."""
        before, at = self.told.get(report.child, ("", 0.0))
        if text != before or report.at - at >= AGAIN_SECONDS:
            self.told[report.child] = (text, report.at)
            print(f"covend: {text}", file=sys.stderr, flush=True)


def last_words(log: Path, began: int) -> list[str]:
    """The last line that was written since, with what is indented below it; none if none was."""
    try:
        with log.open("rb") as file:
            file.seek(max(began, size(log) - MOST_BYTES))
            lines = file.read().decode("utf-8", "replace").rstrip().splitlines()
    except OSError:
        return []
    first = max((at for at, line in enumerate(lines) if line[:1].strip()), default=0)
    return [f"  {line}" for line in lines[first:]]


def size(log: Path) -> int:
    """Bytes; 0 of one that is not there."""
    return log.stat().st_size if log.exists() else 0
