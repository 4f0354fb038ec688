"""Reading an answer out of a model's text: a JSON value, a choice, or all that it says.

There is no guessing: where a text has none, or two that differ, it says why that is no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from covend.phylactery.canonical import canonical, parse

MAX_SHOWN = 500
"""Characters of a value that a problem shows."""
MAX_CANDIDATES = 100
"""How many brackets of a text are tried as the beginning of a JSON value."""
MAX_BROKEN = 1024 * 1024
"""Characters that may be read in vain, of what turns out to be no JSON, before the search ends."""

_FENCE = "```"
_LANGUAGE = re.compile(r"[\w-]*\s*")
_THINKING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


class InvalidAnswer(Exception):
    """There is no valid answer in the reply; the argument says why."""


def without_thoughts(text: str) -> str:
    """What a model says once it has thought aloud, as some do first."""
    return _THINKING.sub("", text, count=1)


def the_choice(choices: Sequence[str], text: str) -> str:
    """The choice a text names: exactly, else but for case where only one is meant."""
    said = text.strip().strip("`\"'").rstrip(".").strip()
    if text.strip() in choices:
        return text.strip()
    if said in choices:
        return said
    meant = [choice for choice in choices if choice.casefold() == said.casefold()]
    if len(meant) != 1:
        raise InvalidAnswer(f"{shown(text)} is not one of {', '.join(choices)}")
    return meant[0]


def the_json(text: str) -> Any:
    """The one JSON value in a text, in a code fence or in prose or alone.

    Raises for none and for two that differ: there is no guessing between them.
    """
    inner = text.strip()
    if len(inner) >= 2 * len(_FENCE) and inner.startswith(_FENCE) and inner.endswith(_FENCE):
        language, newline, fenced = inner[len(_FENCE) : -len(_FENCE)].partition("\n")
        if newline and _LANGUAGE.fullmatch(language):
            inner = fenced.strip()
    try:
        return parse(inner)
    except (ValueError, RecursionError):
        pass  # not JSON alone: look for it in the prose
    scanned = [_embedded(inner, opening) for opening in "{["]
    broken_off = min(at for _, at in scanned)
    for whole, _ in scanned:
        found = {canonical(value): value for at, value in whole if at < broken_off}
        if len(found) > 1:
            raise InvalidAnswer(f"there are {len(found)} different JSON values in the answer")
        if found:
            return next(iter(found.values()))
    raise InvalidAnswer(f"there is no JSON in the answer: {shown(text)}")


def _embedded(text: str, opening: str) -> tuple[list[tuple[int, Any]], int]:
    """The outermost JSON values in a text that begin with ``opening``, each with its place.

    The second is the place of a value that the text breaks off in, else the end of the text: what
    lies within a value that breaks off is no answer.
    """
    found: list[tuple[int, Any]] = []
    at, broken = text.find(opening), 0
    for _ in range(MAX_CANDIDATES):
        if at < 0 or broken > MAX_BROKEN:
            break
        end = len(text)  # where nothing says how far it was read
        try:
            _, end = _DECODER.raw_decode(text, at)
            found.append((at, parse(text[at:end])))
        except json.JSONDecodeError as failed:
            if _breaks_off(failed):
                return found, at
            broken += failed.pos - at
            end = at + 1
        except (ValueError, RecursionError):
            broken += end - at
            end = at + 1
        at = text.find(opening, end)
    return found, len(text)


def _breaks_off(failed: json.JSONDecodeError) -> bool:
    """Whether all was JSON as far as the text went."""
    return failed.pos >= len(failed.doc) or failed.msg.startswith("Unterminated string")


def shown(value: Any) -> str:
    """A value as a problem shows it: its beginning, whatever it is."""
    try:
        text = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        )
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too large or too deep to be shown"
    text = recordable(text[: MAX_SHOWN + 1])
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def recordable(text: str) -> str:
    """Text as Unicode: half of a surrogate pair becomes its escape."""
    return text.encode(errors="backslashreplace").decode()
