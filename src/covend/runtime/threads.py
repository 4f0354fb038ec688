"""The real system: every actor is a pykka actor with a thread of its own while it lives."""

from __future__ import annotations

import heapq
import logging
import math
import random
import threading
import time
from collections.abc import Callable
from itertools import count

import pykka

from covend.runtime import adapter
from covend.runtime.address import ActorRef
from covend.runtime.answer import Answer
from covend.runtime.cell import Cell
from covend.runtime.envelope import Envelope
from covend.runtime.errors import ActorError
from covend.runtime.mailbox import Mailbox, MailboxSpec
from covend.runtime.system import System
from covend.runtime.trace import TraceRing
from covend.runtime.workers import Workers

log = logging.getLogger("covend.runtime")


class Alarm:
    """Expires the answers that somebody wants to be called back for, at their deadline.

    One thread for all of them, started with the first. Who waits for an answer himself, as an ask
    does, needs no alarm.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Answer]] = []
        self._serial = count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._sweep_at = 1024

    def add(self, deadline: float, answer: Answer) -> None:
        """Expire ``answer`` at ``deadline`` unless it is settled by then. Any thread."""
        with self._changed:
            if self._closed:
                return
            if len(self._heap) >= self._sweep_at:  # most are settled long before their deadline
                self._heap = [entry for entry in self._heap if not entry[2].done]
                heapq.heapify(self._heap)
                self._sweep_at = max(1024, 2 * len(self._heap))
            heapq.heappush(self._heap, (deadline, next(self._serial), answer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is answer:
                self._changed.notify()

    def close(self, timeout: float) -> None:
        """End the thread, expiring nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                left = self._heap[0][0] - time.monotonic() if self._heap else math.inf
                if left > 0:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                answer = heapq.heappop(self._heap)[2]
            answer.expire()


class ThreadSystem(System):
    """Actors on threads, in real time.

    ``stack_bytes`` is the stack of each actor's thread: only what is touched costs memory, but a
    stack of 2 MiB or more may be given a huge page at once.
    """

    def __init__(
        self, node: str = "local", *, trace: TraceRing | None = None, stack_bytes: int = 512 * 1024
    ) -> None:
        # Ids of different processes must not meet: each begins somewhere else in 2**62.
        first_id = random.SystemRandom().getrandbits(62)
        super().__init__(node, trace or TraceRing(node=node), first_id, time.monotonic)
        self._workers = Workers(stack_bytes)
        self._alarm = Alarm()
        self._hosts: dict[Cell, adapter.Host] = {}
        self._sweep_at = 64

    def answer(self, label: str, timeout: float) -> Answer:
        return Answer(self, label, timeout)

    def call_at(self, deadline: float, answer: Answer) -> None:
        self._alarm.add(deadline, answer)

    def mailbox(
        self, name: str, spec: MailboxSpec, bury: Callable[[Envelope, ActorError], None]
    ) -> Mailbox:
        return Mailbox(name, spec, time.monotonic, bury)

    def launch(self, cell: Cell) -> None:
        host = adapter.start(cell, self._workers)
        with self._lock:
            self._hosts[cell] = host
            if len(self._hosts) > self._sweep_at:
                self._hosts = {c: h for c, h in self._hosts.items() if not h.actor_stopped.is_set()}
                self._sweep_at = max(64, 2 * len(self._hosts))

    def checkpoint(self) -> None:
        """Threads need none: the machine lets others run when it likes."""

    def pykka_ref(self, ref: ActorRef) -> pykka.ActorRef[adapter.Host]:
        """Return the pykka ref of an actor, for code that speaks pykka: tell, ask and stop."""
        with self._lock:
            return self._hosts[ref.cell].actor_ref

    def _close(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._alarm.close(timeout)
        self._workers.close(timeout)
        with self._lock:
            hosts = list(self._hosts.items())
            self._hosts = {}
        for cell, host in hosts:
            if not cell.fenced:  # a zombie's thread ends when it likes
                host.thread.join(max(0.0, deadline - time.monotonic()))
