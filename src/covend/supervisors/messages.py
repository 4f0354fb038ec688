"""What one says to a supervisor, what it answers, and what it reports.

All of it stays inside one process. A request that cannot be met is answered with ``ReplyError``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from covend.runtime.exits import Exit
from covend.runtime.messages import CONTROL, Lane, Message
from covend.supervisors.specs import ChildSpec, Kind


class FailedToStart(Exception):
    """A supervisor did not start, because ``child`` did not, because of ``cause`` (S4)."""

    def __init__(self, child: str, cause: BaseException) -> None:
        super().__init__(f"child {child!r} failed to start: {type(cause).__name__}: {cause}")
        self.child = child
        self.cause = cause


class WhichChildren(Message, frozen=True):
    """Answered with a list of ``ChildInfo``, in start order."""


class CountChildren(Message, frozen=True):
    """Answered with ``Counts``."""


class FindChild(Message, frozen=True):
    """Answered with the ``ChildInfo`` of one child, None where there is none of that id."""

    id: str


class StartChild(Message, frozen=True):
    """Adds a child on the right and starts it; answered with its ``ChildInfo``."""

    spec: ChildSpec


class StartMember(Message, frozen=True):
    """To a dynamic supervisor: start one more child of its template, named ``id``.

    Answered with its ``ChildInfo``. The arguments are appended to the template's own.
    """

    id: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class TerminateChild(Message, frozen=True):
    """Stops a child; it stays down, and its spec stays unless it is temporary or dynamic.

    Answered with True once it is gone. Works on a child that waits for its restart as well (S7).
    """

    id: str


class RestartChild(Message, frozen=True):
    """Starts a child that is down; answered with its ``ChildInfo``."""

    id: str


class DeleteChild(Message, frozen=True):
    """Forgets a child that is down; answered with True."""

    id: str


class ChildInfo(Message, frozen=True):
    """One child as it is now.

    ``state`` is ``running``, ``waiting`` (for its restart) or ``stopped``. ``ref`` is the actor's
    (None for a process or one that is down), ``pid`` the process's. ``mailbox`` counts the messages
    that wait for an actor.
    """

    id: str
    name: str
    kind: Kind
    state: str
    incarnation: int
    restarts: int
    ref: Any = None
    pid: int | None = None
    mailbox: int | None = None


class Counts(Message, frozen=True):
    """How many children there are: known, running, and of each kind."""

    specs: int
    active: int
    workers: int
    supervisors: int
    processes: int


class ProcessExited(Message, frozen=True):
    """A child process ended; ``status`` as in ``ExitWatcher``. Sent by the watcher's thread."""

    lane: ClassVar[Lane] = CONTROL

    child: str
    incarnation: int
    status: int | None


class Retry(Message, frozen=True):
    """A supervisor's own timer: it is time to try this restart (S7)."""

    child: str
    incarnation: int


class Report(Message, frozen=True):
    """One thing that a supervisor saw or decided, for the trace and for who shows it.

    ``decision`` is ``started``, ``failed_to_start``, ``restart``, ``wait``, ``keep``, ``drop``,
    ``auto_shutdown``, ``escalate``, ``stopped``, ``zombie`` or ``stale``. ``at`` is in monotonic
    seconds, ``delay`` the seconds until a restart that waits, ``group`` who is restarted along,
    ``recent`` how many restarts the intensity counts now.
    """

    lane: ClassVar[Lane] = CONTROL  # a supervisor never waits for its listener's mailbox

    supervisor: str
    child: str
    incarnation: int
    decision: str
    at: float
    reason: Exit | None = None
    delay: float = 0.0
    group: tuple[str, ...] = ()
    recent: int = 0
