"""A process's place on the wire: actors of other processes by address, ours for them (S13).

``Node`` turns tells, asks and monitors into frames, and frames into deliveries. All its state
belongs to the I/O thread of its ``Ipc``; callers only queue work for that thread.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from covend.runtime.errors import ActorDead, ActorError, AskTimeout, Unreachable
from covend.runtime.frames import (
    Frame,
    FrameError,
    Header,
    Kind,
    pack_error,
    pack_value,
    unpack_error,
    unpack_value,
)
from covend.runtime.ipc import Ipc

_log = logging.getLogger(__name__)


class Node:
    """This process under its name among the box's processes.

    Built with a system, it serves that system's actors and carries what the system sends to
    addresses elsewhere. ``Node.client`` makes one without a system, which only asks and tells.
    Raises ``WireError`` for an unfit directory or name, or if the name is taken by a live process.
    """

    def __init__(self, system: Any, name: str, run_dir: str | Path) -> None:
        self.name = name
        self._system = system
        self._ids = itertools.count(1)
        self._asks: dict[int, tuple[str, str, Future[object]]] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._ipc = Ipc(name, run_dir, self, bind=system is not None)
        self._ipc.start(self._expire)

    @classmethod
    def client(cls, run_dir: str | Path) -> Node:
        """A node that others cannot address: for a command that asks something and leaves."""
        return cls(None, f"cli-{os.getpid()}", run_dir)

    def close(self) -> None:
        """Leave the wire; whoever still waits here is told that it closed. Safe to call twice."""
        self._ipc.close()
        for _, address, future in list(self._asks.values()):
            future.set_exception(Unreachable(f"{address}: this process left the wire"))
        self._asks.clear()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── outbound, any thread ─────────────────────────────────────────────────────────────────

    def tell(self, address: str, message: object) -> None:
        """Send and forget; what cannot arrive becomes a dead letter. Never blocks.

        Raises ``FrameError`` for a message that cannot cross processes.
        """
        peer = _node_of(address)
        frame = self._frame("tell", address, message, 0.0)
        self._ipc.send(peer, frame)

    def ask(self, address: str, message: object, timeout: float) -> Any:
        """The answer of an actor in another process, within ``timeout`` seconds.

        Raises ``AskTimeout``, ``ActorDead`` (no such process or actor), or the handler's error.
        """
        return self.ask_later(address, message, timeout).result()

    def ask_later(self, address: str, message: object, timeout: float) -> Future[object]:
        """Ask without waiting; the future is done by ``timeout`` seconds from now at the latest."""
        peer = _node_of(address)
        deadline = time.monotonic() + timeout
        frame = self._frame("ask", address, message, deadline)
        future: Future[object] = Future()

        def begin() -> None:
            self._asks[frame.header.id] = (peer, address, future)
            heapq.heappush(self._deadlines, (deadline, frame.header.id))
            self._ipc.send(peer, frame)

        self._ipc.call(begin)
        return future

    def _frame(self, kind: Kind, to: str, message: object, deadline: float) -> Frame:
        tag, body = pack_value(message)
        header = Header(kind, to, self.name, next(self._ids), deadline=deadline, tag=tag)
        return Frame(header, body)

    # ── what the I/O thread tells us ─────────────────────────────────────────────────────────

    def arrived(self, route: bytes, frame: Frame) -> None:
        """Deliver a tell or an ask of another process."""

    def answered(self, peer: str, frame: Frame) -> None:
        """Settle the ask that this answers."""
        entry = self._asks.pop(frame.header.id, None)
        if entry is None:
            return  # it came after its deadline
        _, _, future = entry
        if frame.header.kind == "error":
            future.set_exception(unpack_error(frame.body))
            return
        try:
            future.set_result(unpack_value(frame.header.tag, frame.body))
        except FrameError as error:
            future.set_exception(error)

    def garbage(self, route: bytes, error: FrameError) -> None:
        """Say back what was wrong with bytes that are no frame."""
        _log.warning("wire: a frame was refused: %s", error)
        header = Header("error", "", self.name, 0)
        self._ipc.answer(route, Frame(header, pack_error(error)))

    def lost(self, peer: str, problem: str, unsent: list[Frame]) -> None:
        """Fail at once whatever waits for a process that is gone."""
        for id_, (node, address, future) in list(self._asks.items()):
            if node == peer:
                del self._asks[id_]
                future.set_exception(ActorDead(f"{address}: process {peer} is {problem}"))

    def routeless(self, frame: Frame) -> None:
        """The asker's process is gone: its answer is a dead letter."""

    def _expire(self, now: float) -> float | None:
        while self._deadlines:
            deadline, id_ = self._deadlines[0]
            if id_ in self._asks and deadline > now:
                return deadline
            heapq.heappop(self._deadlines)
            entry = self._asks.pop(id_, None)
            if entry is not None:
                peer, address, future = entry
                name = address.partition("@")[0]
                future.set_exception(AskTimeout(f"no answer from {name} in process {peer} in time"))
        return None


def _node_of(address: str) -> str:
    name, _, node = address.rpartition("@")
    if not name or not node:
        raise Unreachable(f"{address!r} names no actor of another process: write NAME@NODE")
    return node
