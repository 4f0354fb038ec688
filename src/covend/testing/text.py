"""The text a fake soulstone writes: numbered, so that a reader sees what was lost or repeated."""

from __future__ import annotations


def token(number: int) -> str:
    """One token of a fake answer.

    >>> token(7)
    'token 7 '
    """
    return f"token {number} "


def token_text(count: int) -> str:
    """A whole fake answer of ``count`` tokens.

    >>> token_text(3)
    'token 0 token 1 token 2 '
    """
    return "".join(map(token, range(count)))


def missing_token(text: str, count: int) -> int | None:
    """The first token at which ``text`` is not the whole answer of ``count`` tokens; else None.

    ``count`` itself stands for text after the end.

    >>> missing_token("token 0 token 1 ", 2) is None
    True
    >>> missing_token("token 0 token 2 ", 3)
    1
    """
    rest = text
    for number in range(count):
        wanted = token(number)
        if not rest.startswith(wanted):
            return number
        rest = rest[len(wanted) :]
    return count if rest else None
