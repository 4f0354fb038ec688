"""Finds the line of every key and array element in a TOML document.

The standard parser gives values without places. This scanner reads the same document a second
time for its places alone; it runs only on documents that the parser accepted, so it knows no
errors: what it does not recognise it skips.
"""

from __future__ import annotations

import re
import tomllib

from covend.config.errors import Path

_SPACE = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# A multi-line string may end in up to two quotes of its own before the closing three.
_MULTI_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_MULTI_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def lines_of(text: str) -> dict[Path, int]:
    """The 1-based line of every path in `text`, which must be valid TOML."""
    return _Scanner(text).run()


def line_at(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of its nearest ancestor that has one; 0 where none has."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line = 1
        self.lines: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        table: Path = ()
        self.skip(_GAP)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text.startswith("[", self.at):
                table = self.header(1)
            else:
                self.pair(table)
            self.skip(_GAP)
        return self.lines

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        found = match[0] if match else ""
        self.line += found.count("\n")
        self.at += len(found)
        return found

    def note(self, path: Path, line: int) -> None:
        """Remember the first place of `path` and of the tables that a dotted key implies."""
        for depth in range(1, len(path) + 1):
            self.lines.setdefault(path[:depth], line)

    def header(self, brackets: int) -> Path:
        line = self.line
        self.at += brackets
        path: Path = ()
        keys = self.keys()
        for position, key in enumerate(keys):
            path += (key,)
            last = position == len(keys) - 1
            if brackets == 2 and last:
                self.note(path, line)
                self.arrays[path] = self.arrays.get(path, -1) + 1
            if path in self.arrays:  # a header names the array's newest element
                path += (self.arrays[path],)
        self.at += brackets
        if brackets == 2:
            self.forget_arrays_below(path)
        self.note(path, line)
        return path

    def forget_arrays_below(self, path: Path) -> None:
        """A new element starts its own sub-arrays; their paths carry its index, so none clash."""
        for known in [known for known in self.arrays if known[: len(path)] == path]:
            del self.arrays[known]

    def keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self.skip(_SPACE)
            keys.append(self.key())
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def key(self) -> str:
        for pattern in (_BASIC, _LITERAL):
            if quoted := self.skip(pattern):
                return str(tomllib.loads(f"k={quoted}")["k"])
        if bare := self.skip(_BARE):
            return bare
        self.at += 1  # cannot happen in valid TOML; moving on keeps the scan finite
        return ""

    def pair(self, table: Path) -> None:
        line = self.line
        path = (*table, *self.keys())
        self.note(path, line)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value(path)

    def value(self, path: Path) -> None:
        if self.text.startswith("[", self.at):
            self.elements(path)
        elif self.text.startswith("{", self.at):
            self.inline_table(path)
        else:
            for pattern in (_MULTI_BASIC, _MULTI_LITERAL, _BASIC, _LITERAL, _SCALAR):
                if self.skip(pattern):
                    return

    def elements(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.inside("]"):
            self.note((*path, index), self.line)
            self.value((*path, index))
            index += 1
            self.skip(_GAP)
            if self.text.startswith(",", self.at):
                self.at += 1
        self.at += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        while self.inside("}"):
            self.pair(path)
            self.skip(_GAP)
            if self.text.startswith(",", self.at):
                self.at += 1
        self.at += 1

    def inside(self, end: str) -> bool:
        self.skip(_GAP)
        return self.at < len(self.text) and not self.text.startswith(end, self.at)
