"""What the configuration says about who serves what, as look-ups. Pure."""

from __future__ import annotations

from covend.config import Box, Coven, Soulstone


class Catalog:
    """Look-ups over one configuration: capability → soulstones, soulstone → coven, and back."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.soulstones: dict[str, Soulstone] = {stone.name: stone for stone in box.soulstone}
        self.covens: dict[str, Coven] = {coven.name: coven for coven in box.coven}
        self.serving: dict[str, tuple[str, ...]] = box.serving()

    def exclusive(self) -> frozenset[str]:
        """The soulstones covend may start and stop (W4)."""
        return frozenset(n for n, s in self.soulstones.items() if s.authority == "exclusive")

    def shared(self) -> tuple[str, ...]:
        """The soulstones covend only routes to (W4)."""
        return tuple(n for n, s in self.soulstones.items() if s.authority == "shared")

    def lexicons(self) -> tuple[str, ...]:
        """The exclusive soulstones that stay resident through every transition (W5)."""
        return tuple(
            n for n, s in self.soulstones.items() if s.lexicon and s.authority == "exclusive"
        )

    def served_by(self, soulstones: frozenset[str]) -> frozenset[str]:
        """The capabilities that at least one of these soulstones serves."""
        return frozenset(
            capability for capability, names in self.serving.items() if soulstones & set(names)
        )

    def covens_of(self, soulstone: str) -> tuple[str, ...]:
        """The covens that contain a soulstone."""
        return tuple(n for n, c in self.covens.items() if soulstone in c.soulstones)
