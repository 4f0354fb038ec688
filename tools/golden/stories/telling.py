"""How a story comes to be among the stories, and what several of them have in common."""

from __future__ import annotations

from collections.abc import Callable

from tools.golden.play import Play

STORIES: dict[str, Callable[[], Play]] = {}


def story(tell: Callable[[], Play]) -> Callable[[], Play]:
    """Adds a story under its own name."""
    STORIES[tell.__name__] = tell
    return tell


def lost(slot: str, play: Play, times: int = 1) -> Play:
    """The transport fails when the work may have been done."""
    for _ in range(times):
        play.fail(slot, transport=True, indeterminate=True)
    return play
