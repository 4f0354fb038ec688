"""One story for each pattern and edge (rules §6, the table of the six).

The name is the pattern and what happens. Each story is a run with a scripted world; the tests say
how it must end, and the corpus keeps every byte of it.
"""

from tools.golden.stories import (
    ensemble,
    escalate,
    nested,
    people,
    retry,
    single_shot,
    verify,
    waterfall,
)
from tools.golden.stories.telling import STORIES

__all__ = [
    "STORIES",
    "ensemble",
    "escalate",
    "nested",
    "people",
    "retry",
    "single_shot",
    "verify",
    "waterfall",
]
