"""What models, programs and people wrote is shown, and never obeyed by the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

_SHOWN = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD),
}
"""Control characters by their pictures; what has none, and what turns text around, by U+FFFD."""


def visible(text: str) -> str:
    """Text with a sign in place of each character that would steer a terminal or turn text around.

    >>> visible("\x1b[31mred")
    '␛[31mred'
    """
    return text.translate(_SHOWN)


class Visible(RenderHook):
    """Makes everything visible that a console prints; styles are put on after it."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(one) for one in renderables]


@dataclass(frozen=True, slots=True)
class _Shown:
    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in console.render(self.inner, options):
            yield part if part.control else Segment(visible(part.text), part.style)
