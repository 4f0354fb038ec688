"""What models, programs and people wrote is shown, and never obeyed by the terminal."""

from __future__ import annotations

_SHOWN = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD),
}
"""Control characters by their pictures; what has none, and what turns text around, by U+FFFD."""


_ESCAPED = {code: f"\\u{code:04x}" for code in _SHOWN if code >= 0x7F}


def visible(text: str) -> str:
    """Text with a sign in place of each character that would steer a terminal or turn text around.

    >>> visible("\x1b[31mred")
    '␛[31mred'
    """
    return text.translate(_SHOWN)


def escaped(json: str) -> str:
    """JSON that says the same, with what would steer a terminal or turn text around escaped.

    >>> escaped('{"a":"\x9b31m"}')
    '{"a":"\\\\u009b31m"}'
    """
    return json.translate(_ESCAPED)
