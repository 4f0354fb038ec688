"""Reading an answer out of a model's text: a JSON value, a choice, or all that it says.

There is no guessing: where a text has none, or two that differ, it says why that is no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from covend.phylactery.canonical import canonical, parse

MAX_SHOWN = 500
"""Characters of a value that a problem shows."""
MAX_CANDIDATES = 200
"""How many brackets of a text are tried as the beginning of a JSON value."""
MAX_BROKEN = 1024 * 1024
"""Characters that may be read in vain, of what turns out to be no JSON, before the search ends."""

_FENCE = "```"
_LANGUAGE = re.compile(r"[\w-]*\s*")
_THINKING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


_OPENING = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder(parse_int=float)
"""Finds where a value ends, whether or not it is JSON in all; it makes no number too long to be."""


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
        raise InvalidAnswer(f"{excerpt(text)} is not one of {', '.join(choices)}")
    return meant[0]


def the_json(text: str) -> Any:
    """The one JSON value in a text, in a code fence or in prose or alone.

    Raises for none and for two that differ: there is no guessing between them. A list without
    objects yields to whatever has some, as it may be a mark: ``as in [1]``.
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
    whole = _embedded(inner)
    marks = [value for value in whole if _is_mark(value)]
    answers = [value for value in whole if not _is_mark(value)]
    match list({canonical(value): value for value in answers or marks}.values()):
        case []:
            raise InvalidAnswer(f"there is no JSON in the answer: {excerpt(text)}")
        case [value]:
            return value
        case several:
            raise InvalidAnswer(f"there are {len(several)} different JSON values in the answer")


def _embedded(text: str) -> list[Any]:
    """The objects and lists in a text that lie in no other, in their order.

    The search ends at one that the text breaks off in, or that is nested too deep to be read:
    what lies within it is no answer.
    """
    found: list[Any] = []
    at, broken = 0, 0
    for _ in range(MAX_CANDIDATES):
        opening = _OPENING.search(text, at)
        if opening is None or broken > MAX_BROKEN:
            break
        at = opening.start()
        try:
            _, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as failed:
            if _breaks_off(failed):
                break
            broken += failed.pos - at
            at += 1
            continue
        except RecursionError:
            break
        with suppress(ValueError):  # no JSON for all that, as NaN is none
            found.append(parse(text[at:end]))
        at = end
    return found


def _is_mark(value: Any) -> bool:
    """Whether this may be a mark beside the answer, as ``[1]`` is: a list with no object in it."""
    parts = [value]
    for part in parts:  # which grows meanwhile
        if isinstance(part, dict):
            return False
        if isinstance(part, list):
            parts += cast("list[Any]", part)
    return True


def _breaks_off(failed: json.JSONDecodeError) -> bool:
    """Whether all was JSON as far as the text went."""
    return failed.pos >= len(failed.doc) or failed.msg.startswith("Unterminated string")


def excerpt(value: Any) -> str:
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
