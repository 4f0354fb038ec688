"""Who is busy (429, 503) is asked again after the pause that it wants (P4).

Where it says none, after one that doubles: ``PAUSES`` times for each slot, under the same key, as
long as the deadline allows it. Then its refusal is handed on, and another attempt at the slot
begins no sooner than after such a pause.
"""

from __future__ import annotations

from covend.actors.calls.errand import Errand
from covend.patterns.answers.understanding import Raw
from covend.supervisors.backoff import Backoff

BUSY = frozenset({429, 503})
"""How a provider answers that wants to be asked later: it has done nothing."""
LATER = Backoff(base=1.0, maximum=4.0)
"""The pauses for one that does not say how long it wants (S7)."""
PAUSES = 3


def pause_after(
    errand: Errand, refusal: Raw, now: float, left: float, chance: float
) -> float | None:
    """Seconds until who refused is asked again, which it counts; None where it is not any more.

    ``left`` is how many seconds the call has, ``chance`` is drawn from [0, 1).
    """
    wanted = refusal.retry_after
    seconds = LATER.delay(errand.refusals, chance) if wanted is None else wanted
    errand.refusals += 1
    errand.rests_until = now + seconds
    if errand.withdrawn or errand.refusals > PAUSES or seconds >= left:
        return None
    errand.refusal = refusal
    return seconds


def goes_on(errand: Errand, before: Errand | None) -> None:
    """Let another attempt at a slot know what was heard in the one ``before``."""
    if before is not None:
        errand.refusals, errand.rests_until = before.refusals, before.rests_until
