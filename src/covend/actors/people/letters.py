"""What people are written about their tasks (P18). Pure: the herald sends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from covend.actors.runs.messages import Notice

MAX_LISTED = 20

TITLES = {
    "assigned": "A question for you",
    "reminder": "A question still waits for you",
    "delegated": "A question was passed on to you",
    "withdrawn": "A question needs no answer any more",
}


def title(notices: Sequence[Notice]) -> str:
    """One title for one notice or many."""
    if len(notices) == 1:
        return TITLES[notices[0].happening]
    waiting = sum(notice.happening != "withdrawn" for notice in notices)
    if not waiting:
        return f"{len(notices)} questions need no answer any more"
    return f"{waiting} questions wait for you" if waiting > 1 else "A question waits for you"


def text(
    notices: Sequence[Notice], inbox_url: str | None, question_of: Callable[[Notice], str]
) -> str:
    """What a person reads: each question, until when, and where to answer."""
    if len(notices) == 1:
        return line(notices[0], inbox_url, question_of)
    lines: list[str] = []
    for notice in notices[:MAX_LISTED]:
        over = "needs no answer any more: " if notice.happening == "withdrawn" else ""
        lines.append(f"- {over}{line(notice, inbox_url, question_of)}")
    if len(notices) > MAX_LISTED:
        lines.append(f"and {len(notices) - MAX_LISTED} more")
    return "\n".join(lines)


def line(notice: Notice, inbox_url: str | None, question_of: Callable[[Notice], str]) -> str:
    """One task in a line."""
    due = datetime.fromtimestamp(notice.due / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
    where = f"(task {notice.task})" if not inbox_url else f"{inbox_url.rstrip('/')}#{notice.task}"
    return f"{question_of(notice)} — until {due} {where}"
