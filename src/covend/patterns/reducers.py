"""What the reducers of this covend decide differently (P5).

A run is pinned to the reducer that it began with, and decides by it to its end: a replay must give
the same bytes for as long as runs may last. Whoever changes what a select decides adds a rule here,
a reducer that has it, and golden threads (``python -m tools.golden``).
"""

from __future__ import annotations

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """One reducer: which rules it has; "before" says what a reducer without the rule does."""

    keeps_the_key_of_lost_work: bool = False
    """Work that may have been done is asked for again under the same key (P4)."""
    silence_explained: bool = False
    """An unaudited answer says what each auditor said instead; before: the last one's status."""
    overrun_is_spent: bool = False
    """What was billed above the reserve cannot be spent again (P13)."""
    round_limit_holds: bool = False
    """A round's own limit bounds the answer's length and resends too (P13)."""
    late_errors_uncounted: bool = False
    """A late failure of the transport is none of those that a run makes good (P12)."""
    lost_is_sent_again_at_once: bool = False
    """A lost call to the verifier does not wait for the primary (P4)."""
    place_decides: bool = False
    """A round is the last by its place (P9); before: by its wants (``choosing.looks_final``)."""
    promises_are_kept: bool = False
    """An answer that did not stand keeps the obligations it came with (P7); before: none."""
    one_part_each: bool = False
    """People, and not only responders, have one part of a query (P9)."""
    whole_request_is_counted: bool = False
    """A worst case counts schema and ``extra`` as input (P13); before: the messages alone."""
    round_overrun_is_spent: bool = False
    """A round's own limit counts what was billed above the reserve (P13)."""
    free_are_found: bool = False
    """A free round looks beyond the best for those that are free (P13)."""
    made_like_given: bool = False
    """An answer that a fold makes has the bounds of one that is given (P17)."""
    asked_once: bool = False
    """A person has one task in a round, whatever names he is registered under (P9)."""
    one_model_each: bool = False
    """A model of the box is one responder, whatever capabilities it serves (P9)."""
    nobody_explained: bool = False
    """Where nobody can be asked it is said whether anybody was named, or has a part (P19)."""
    promises_end: bool = False
    """After a promised time the next delegate is asked (P18); before: none once one accepted."""


REDUCER_1 = Rules()
REDUCER_2 = msgspec.structs.replace(
    REDUCER_1, keeps_the_key_of_lost_work=True, silence_explained=True
)
REDUCER_3 = msgspec.structs.replace(
    REDUCER_2,
    overrun_is_spent=True,
    round_limit_holds=True,
    late_errors_uncounted=True,
    lost_is_sent_again_at_once=True,
    place_decides=True,
    promises_are_kept=True,
)
REDUCER_4 = msgspec.structs.replace(
    REDUCER_3,
    one_part_each=True,
    whole_request_is_counted=True,
    round_overrun_is_spent=True,
    free_are_found=True,
    made_like_given=True,
)
REDUCER_5 = msgspec.structs.replace(REDUCER_4, asked_once=True)
REDUCER_6 = msgspec.structs.replace(REDUCER_5, one_model_each=True, nobody_explained=True)
REDUCER_7 = msgspec.structs.replace(REDUCER_6, promises_end=True)

RULES = {
    1: REDUCER_1,
    2: REDUCER_2,
    3: REDUCER_3,
    4: REDUCER_4,
    5: REDUCER_5,
    6: REDUCER_6,
    7: REDUCER_7,
}
CURRENT = max(RULES)
"""The reducer that new runs are pinned to."""
