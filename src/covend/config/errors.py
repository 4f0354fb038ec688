"""What is wrong with a box file: every error, with its place and what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import msgspec

Path = tuple[str | int, ...]
"""Keys and indices from the document's root; () is the document itself."""

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class ConfigError(msgspec.Struct, frozen=True):
    """One error: `line` is 1-based, 0 where there is none; `path` is like `$.key[0].name`.

    The path `$` is the whole file, and is not shown.
    """

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message if self.path == '$' else f'{self.path}: {self.message}'}"


class ConfigErrors(Exception):
    """A box file is wrong; `errors` has all that is wrong with it, in file order."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: error.line))
        super().__init__("\n".join(map(str, self.errors)))


def show_path(path: Path) -> str:
    """`("key", 0, "name")` as `$.key[0].name`."""
    text = "$"
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE.fullmatch(part):
            text += f".{part}"
        else:
            text += f"[{shorten(part)}]"
    return text


def shorten(value: object, limit: int = 60) -> str:
    """The repr of a value from the file, cut so that a hostile one cannot flood the terminal."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def answers_no_chat(model: str, answering: Iterable[str]) -> str:
    """Why no query asks a model of this box that chats not, and what would be right (P8)."""
    there = ", ".join(sorted(answering)) or "none here does"
    return (
        f"{model!r} answers no chat requests (chat = false): name one that does ({there}); "
        "a model elsewhere needs its 'endpoint'"
    )


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """` (did you mean …?)`, or what there is to choose from, or nothing."""
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(wrong[:100], names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if 0 < len(names) <= 25:
        return f"; known here: {', '.join(names)}"
    return ""
