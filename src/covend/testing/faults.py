"""The faults a fake soulstone can be told to have, at its start or while it runs."""

from __future__ import annotations

FAULTS: dict[str, tuple[float | None, str]] = {
    "never-ready": (None, "health stays 503"),
    "unhealthy": (None, "health answers 500 although it was ready"),
    "die-mid-stream": (3.0, "SIGKILLs itself once an answer has K tokens"),
    "die-after": (1.0, "SIGKILLs itself S seconds after this was set"),
    "cut": (3.0, "closes the connection once an answer has K tokens"),
    "hang": (3.0, "sends nothing more once an answer has K tokens"),
    "leak": (10.0, "allocates that many MiB a second"),
    "slow-stop": (1.0, "ends S seconds after SIGTERM"),
    "ignore-term": (None, "does not end on SIGTERM"),
}
"""Every fault: the value it has when none is given (None: it takes none), and what it does."""


def parse_fault(text: str) -> tuple[str, float]:
    """``"hang:3"`` as a name and its value; raises ValueError that lists what there is.

    >>> parse_fault("leak:2.5")
    ('leak', 2.5)
    >>> parse_fault("never-ready")
    ('never-ready', 0.0)
    """
    name, colon, given = text.partition(":")
    if name not in FAULTS:
        raise ValueError(f"no such fault: {name!r}; there are {', '.join(FAULTS)}")
    default, _what = FAULTS[name]
    if not colon:
        return name, default or 0.0
    if default is None:
        raise ValueError(f"the fault {name!r} takes no value, and was given {given!r}")
    try:
        value = float(given)
    except ValueError:
        raise ValueError(f"the value of {name!r} must be a number, not {given!r}") from None
    if not 0 <= value < float("inf"):
        raise ValueError(f"the value of {name!r} must be from 0 on, not {given}")
    return name, value
