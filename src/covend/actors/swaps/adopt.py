"""What a new arbiter makes of the soulstones it finds alive (W25). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from covend.will.model import Model


@dataclass(frozen=True, slots=True)
class Adoption:
    """``covens`` are resident (members that are gone are started again); ``reap`` is in none."""

    covens: tuple[str, ...]
    reap: frozenset[str]


def adopt(model: Model, alive: Iterable[str], open_transition: str | None = None) -> Adoption:
    """Choose which covens the living soulstones amount to (W25, W3).

    Whole covens come first, then the target of a transition that was under way, then those with
    most members alive; none that conflicts with one already chosen. Lexicons and shared soulstones
    are never reaped (W4, W5).
    """
    living = frozenset(alive)
    candidates = [name for name, facts in model.covens.items() if facts.soulstones & living]

    def rank(name: str) -> tuple[bool, bool, int, str]:
        members = model.covens[name].soulstones
        return (not members <= living, name != open_transition, -len(members & living), name)

    chosen: list[str] = []
    for name in sorted(candidates, key=rank):
        if not model.covens[name].conflicts & set(chosen):
            chosen.append(name)
    kept = frozenset[str]().union(*(model.covens[name].soulstones for name in chosen))
    managed = {
        name
        for name in living
        if name not in model.soulstones
        or (model.soulstones[name].authority == "exclusive" and not model.soulstones[name].lexicon)
    }
    return Adoption(tuple(chosen), frozenset(managed - kept))
