"""The mailbox: two lanes, a bound with a policy, and a close that loses nothing (S11).

No lock guards the close. A sender appends and *then* looks whether the mailbox is closed; whoever
closes it marks it closed and *then* drains. So every envelope is taken out exactly once, by the
actor, by whoever closed, or by its own sender, and each of these knows where it belongs.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

from covend.runtime.envelope import Envelope, here
from covend.runtime.errors import ActorDead, ActorError, MailboxFull
from covend.runtime.messages import CONTROL
from covend.runtime.timers import Fired, Timers

Policy = Literal["block", "reject", "drop_oldest"]


@dataclass(frozen=True)
class MailboxSpec:
    """How much work may wait, and what happens to a sender when it is more (S11).

    ``block`` holds the sender up to ``block_seconds``, then raises ``MailboxFull``; ``reject``
    raises it at once; ``drop_oldest`` drops the oldest work message, counted and traced. The
    control lane is never bounded: what the runtime itself has to say cannot be refused.
    ``bound=None`` is without a bound.
    """

    bound: int | None = 10_000
    policy: Policy = "block"
    block_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.bound is not None and self.bound < 1:
            raise ValueError(f"a mailbox bound must be at least 1 or None, not {self.bound}")
        if self.policy not in ("block", "reject", "drop_oldest"):
            raise ValueError(
                f"mailbox policy must be block, reject or drop_oldest, not {self.policy!r}"
            )
        if not 0 < self.block_seconds < threading.TIMEOUT_MAX:
            raise ValueError(f"block_seconds must be positive, not {self.block_seconds!r}")


_CROWD = 1000
"""So many threads never stand between looking at a mailbox's length and appending to it."""


class _Lanes(dict[type, bool]):
    """Whether a class of messages is control, looked up once: a miss by ``getattr`` is slow."""

    def __missing__(self, kind: type) -> bool:
        control = self[kind] = getattr(kind, "lane", None) is CONTROL
        return control


_is_control = _Lanes()


class Mailbox:
    """The mailbox of one actor on a thread. ``put`` on any thread, ``get`` on the actor's."""

    __slots__ = (
        "_asleep", "_blocked", "_bound", "_far_from_full", "_lock", "_now", "_room", "_wakes",
        "bury", "closed", "control", "name", "owner", "spec", "timers", "work",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        spec: MailboxSpec,
        now: Callable[[], float],
        bury: Callable[[Envelope, ActorError], None],
    ) -> None:
        self.name = name
        self.spec = spec
        self._bound = sys.maxsize if spec.bound is None else spec.bound
        self._far_from_full = self._bound - _CROWD
        self.bury = bury
        self.control: deque[Envelope] = deque()
        self.work: deque[Envelope] = deque()
        self.timers = Timers()
        self.closed = False
        self.owner = 0
        self._now = now
        self._asleep = False
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._room: threading.Condition | None = None
        self._blocked = 0

    # ── senders ──────────────────────────────────────────────────────────────────────────────

    def put(self, envelope: Envelope, patient: bool = True) -> None:
        """Queue a message; after the close it goes to the dead instead. Any thread.

        Raises ``MailboxFull`` as the policy says; a sender that is not ``patient`` never blocks.
        """
        if _is_control[envelope.kind]:
            self.control.append(envelope)
        elif len(self.work) < self._far_from_full:
            self.work.append(envelope)
        else:
            with self._lock:
                if room := len(self.work) < self._bound:
                    self.work.append(envelope)
            if not room:
                try:
                    self._put_when_full(envelope, patient)
                except MailboxFull:
                    envelope.empty()
                    raise
        if self.closed:
            self.drain()
        elif self._asleep:
            self._asleep = False
            self._wakes.put(None)

    def put_control(self, envelope: Envelope) -> None:
        """Queue on the control lane whatever the message's class says. Any thread."""
        self.control.append(envelope)
        if self.closed:
            self.drain()
        elif self._asleep:
            self._asleep = False
            self._wakes.put(None)

    def _put_when_full(self, envelope: Envelope, patient: bool) -> None:
        bound = self._bound
        match self.spec.policy:
            case _ if self.closed:
                self.work.append(envelope)  # for ``put`` to bury
            case "drop_oldest":
                dropped: Envelope | None = None
                with self._lock:
                    if len(self.work) >= bound:
                        dropped = self.work.popleft()
                    self.work.append(envelope)
                if dropped is not None:
                    self.bury(dropped, MailboxFull(f"{self.name} dropped it for a newer one"))
            case "block" if patient and threading.get_ident() != self.owner:
                deadline = self._now() + self.spec.block_seconds
                if (me := here.cell) is not None:
                    me.waits_for = self.name
                try:
                    let_in = self._wait_for_room(envelope, bound, deadline)
                finally:
                    if me is not None:
                        me.waits_for = ""
                if not let_in:
                    raise MailboxFull(
                        f"{self.name} had {bound} messages waiting for"
                        f" {self.spec.block_seconds:g} s: nothing is taken out of its mailbox"
                    )
            case _:
                raise MailboxFull(f"{self.name} has {bound} messages waiting and takes no more")

    def _wait_for_room(self, envelope: Envelope, bound: int, deadline: float) -> bool:
        """Append once there is room or the mailbox closes; the actor wakes one sender a message."""
        with self._lock:
            room = self._room = self._room or threading.Condition(self._lock)
            self._blocked += 1  # said before looking, so that no wake-up is lost
            try:
                while len(self.work) >= bound and not self.closed:
                    if not room.wait(max(0.0, deadline - self._now())) and self._now() >= deadline:
                        return False
                self.work.append(envelope)
                return True
            finally:
                self._blocked -= 1

    # ── the actor ────────────────────────────────────────────────────────────────────────────

    def get(self) -> Envelope:
        """Return the next message, control first; waits for one or for a timer. Actor's thread."""
        timers, now, pop = self.timers, self._now, self.pop
        while True:
            if timers.look_at <= now():
                self.fire()
            if (envelope := pop()) is not None:
                return envelope
            self._sleep()

    def pop(self) -> Envelope | None:
        """Take the next message out, if there is one. Actor's thread."""
        if self.control:
            return self.control.popleft()
        try:
            envelope = self.work.popleft()
        except IndexError:
            return None
        if self._blocked:
            self._let_in(1)
        return envelope

    def _sleep(self) -> None:
        """Wait until a sender or the next timer wakes the actor; sometimes it is for nothing."""
        self._asleep = True
        # Said, then look: a sender that did not see it had appended before.
        if not self.control and not self.work:
            deadline = self.timers.next_deadline()
            left = None if deadline is None else max(0.0, deadline - self._now())
            try:
                self._wakes.get(timeout=left)
            except Empty:
                pass  # a timer is due
        self._asleep = False

    def fire(self) -> None:
        """Move what is due to the control lane."""
        for fired in self.timers.due(self._now()):
            self.put_control(Envelope(fired, None, Fired, self.name, self.name, 0, 0, 0, 0))

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Take nothing more and bury what waits; any later message is buried by its sender."""
        self.closed = True
        if self._blocked:
            self._let_in(self._blocked)
        self.drain()

    def drain(self) -> None:
        """Bury what is queued. Many threads may do so at once; each message is buried once."""
        for lane in (self.control, self.work):
            while lane:
                try:
                    envelope = lane.popleft()
                except IndexError:
                    break  # another thread is burying too
                self.bury(envelope, ActorDead(f"{self.name} is gone"))

    def _let_in(self, senders: int) -> None:
        with self._lock:
            if self._room is not None:
                self._room.notify(senders)

    def __len__(self) -> int:
        return len(self.control) + len(self.work)
