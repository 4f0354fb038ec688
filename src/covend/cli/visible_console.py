"""A console's render hook: what others wrote is made visible before styles are put on it."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from covend.cli.visible import visible


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
