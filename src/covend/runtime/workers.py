"""Threads that are used again: starting one costs more than much of what is done in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_SECONDS = 10.0
MOST_IDLE = 32

_starting = threading.Lock()


class Workers:
    """Runs each work in a daemon thread of its own while it lasts, an idle one before a new one.

    So nothing ever waits for its turn, and work that never ends costs a thread and nothing else.
    ``stack_bytes`` is the stack of each thread, 0 for the interpreter's own choice. Any thread.
    """

    def __init__(self, stack_bytes: int = 0) -> None:
        self._stack_bytes = stack_bytes
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._closed = False

    def run(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Begin ``work`` in a thread that is called ``name`` meanwhile; returns that thread.

        Raises ``RuntimeError`` where the machine has no more threads.
        """
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is not None:
            worker.thread.name = name
            worker.orders.put(work)
            return worker.thread
        worker = _Worker(self._after)
        worker.thread.name = name
        worker.orders.put(work)
        # The size is the whole interpreter's, so it is set for this one start and put back.
        with _starting:
            before = threading.stack_size(self._stack_bytes)
            try:
                worker.thread.start()
            finally:
                threading.stack_size(before)
        return worker.thread

    def close(self, timeout: float) -> None:
        """Let the threads end, the idle ones now and each other one after its work."""
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.orders.put(None)
        for worker in idle:
            worker.thread.join(max(0.0, deadline - time.monotonic()))

    def _after(self, worker: _Worker) -> Callable[[], None] | None:
        """What a worker that has ended its work does next; None: nothing, ever."""
        with self._lock:
            if self._closed or len(self._idle) >= MOST_IDLE:
                return None
            worker.thread.name = "idle"
            self._idle.append(worker)
        try:
            return worker.orders.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                if worker in self._idle:
                    self._idle.remove(worker)
                    return None
            return worker.orders.get()  # it was chosen just now


class _Worker:
    """One thread, with its next work."""

    def __init__(self, after: Callable[[_Worker], Callable[[], None] | None]) -> None:
        self._after = after
        self.orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._live, daemon=True)

    def _live(self) -> None:
        work = self.orders.get()
        while work is not None:
            work()
            del work  # what it held is not kept by an idle thread
            work = self._after(self)
