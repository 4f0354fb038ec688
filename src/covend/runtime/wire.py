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
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from covend.runtime.answer import Answer
from covend.runtime.envelope import Origin
from covend.runtime.errors import MailboxFull, Unreachable
from covend.runtime.exits import NOPROC, Exit
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
from covend.runtime.messages import Down, MonitorId
from covend.runtime.system import System
from covend.runtime.wire_client import WALL_CLOCK, Client

MAX_SECONDS = 1e9
"""No deadline is further away: what says so is not to be believed."""
_log = logging.getLogger("covend.runtime")


class _Ask(NamedTuple):
    """An ask that waits for its answer, and where it went."""

    peer: str
    address: str
    answer: Answer


class _Watch(NamedTuple):
    """A monitor on an actor elsewhere."""

    peer: str
    on_down: Callable[[Exit], None]


class Node:
    """This process under its name among the box's processes; a ``Wire`` for its system.

    Attaches itself to ``system`` and serves its actors to others. ``Node.client`` makes one without
    a system, which only asks and tells. Raises ``WireError`` for an unfit directory or name, or
    if the name is taken by a live process.
    """

    def __init__(self, system: System | None, name: str, run_dir: str | Path) -> None:
        self.name = name
        self._system = system
        self._asks: dict[int, _Ask] = {}
        self._watches: dict[int, _Watch] = {}
        self._served: dict[tuple[bytes, int], Callable[[], bool]] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._keys = itertools.count(1)
        self._ipc = Ipc(name, run_dir, self, bind=system is not None)
        self._ipc.start(self._expire)
        if system is not None:
            system.attach(self)

    @classmethod
    def client(cls, run_dir: str | Path) -> Client:
        """Attach as ``cli-PID``, which others cannot address: to ask something and leave."""
        return Client(cls(None, f"cli-{os.getpid()}", run_dir))

    def close(self) -> None:
        """Leave the wire; whoever still waits here is told so. Safe to call twice. Any thread."""
        self._ipc.close()
        for _, address, answer in self._asks.values():
            answer.settle(error=Unreachable(f"{address}: this process left the wire"))
        self._asks.clear()

    # ── the Wire of a system; any thread ─────────────────────────────────────────────────────

    def tell(self, node: str, name: str, message: object, origin: Origin) -> None:
        """Send and forget; what cannot arrive becomes a dead letter. Never blocks.

        Raises ``FrameError`` for a message that cannot cross processes.
        """
        key = next(self._keys)  # so that a refusal of it is taken for nothing else
        self._ipc.send(node, self._frame("tell", node, name, message, origin, key, 0.0))

    def ask(self, node: str, name: str, message: object, origin: Origin, answer: Answer) -> None:
        """Send, and settle ``answer`` with the reply, the error, or why none will come.

        Raises ``FrameError`` for a message that cannot cross processes.
        """
        key = next(self._keys)
        frame = self._frame("ask", node, name, message, origin, key, answer.deadline)

        def begin() -> None:
            self._asks[key] = _Ask(node, frame.header.to, answer)
            self._remember(answer.deadline, key)
            self._ipc.send(node, frame)

        self._ipc.call(begin)

    def monitor(self, node: str, name: str, on_down: Callable[[Exit], None]) -> Callable[[], None]:
        """Call ``on_down`` once, in the I/O thread, when that actor or its process is gone."""
        key = next(self._keys)
        origin = Origin("", 0, 0, 0)
        frame = self._frame("watch", node, name, None, origin, key, 0.0)

        def begin() -> None:
            self._watches[key] = _Watch(node, on_down)
            self._ipc.send(node, frame)

        def end() -> None:
            if self._watches.pop(key, None) is not None and not self._ipc.closed:
                self._ipc.send(node, self._frame("unwatch", node, name, None, origin, key, 0.0))

        self._ipc.call(begin)
        return lambda: self._ipc.call(end)

    def _frame(
        self,
        kind: Kind,
        node: str,
        name: str,
        message: object,
        origin: Origin,
        key: int,
        deadline: float,
    ) -> Frame:
        if self._ipc.closed:
            raise Unreachable(f"{name}@{node}: this process left the wire")
        tag, body = pack_value(message)
        sender = origin.sender or f"@{self.name}"
        header = Header(
            kind,
            f"{name}@{node}",
            sender,
            key,
            origin.msg_id,
            origin.cause_id,
            origin.trace_id,
            deadline,
            tag,
        )
        return Frame(header, body)

    # ── what other processes want of us; I/O thread ──────────────────────────────────────────

    def arrived(self, route: bytes, frame: Frame) -> None:
        """Deliver what another process sent; what is wrong with it goes back as an error."""
        head = frame.header
        name, _, node = head.to.rpartition("@")
        try:
            if self._system is None or node != self.name:
                raise FrameError(f"{head.to!r} is not here: this is node {self.name}")
            match head.kind:
                case "tell":
                    self._deliver(self._system, name, frame, None)
                case "ask":
                    self._answer(route, self._system, name, frame)
                case "watch":
                    self._serve_watch(route, self._system, name, head.key)
                case "unwatch":
                    self._served.pop((route, head.key), _nothing)()
                case _:
                    raise FrameError(f"a {head.kind!r} frame only answers another one")
        except FrameError as error:
            self._refuse(route, head.key, error)

    def _answer(self, route: bytes, system: System, name: str, frame: Frame) -> None:
        left = frame.header.deadline - time.monotonic()
        if not 0 < left < MAX_SECONDS:
            return  # nobody waits for it any more
        answer = Answer(WALL_CLOCK, frame.header.to, left)
        answer.on_done(lambda done: self._reply(route, frame.header, done))
        self._deliver(system, name, frame, answer)

    def _deliver(self, system: System, name: str, frame: Frame, answer: Answer | None) -> None:
        head = frame.header
        origin = Origin(head.sender, head.msg_id, head.cause_id, head.trace_id)
        try:
            message = unpack_value(head.tag, frame.body)
        except FrameError as error:
            if answer is None:
                raise
            answer.settle(error=error)
            return
        try:
            system.deliver(name, message, origin, answer)
        except MailboxFull as error:
            system.bury(name, system.trace.enclose(message, answer, name, origin), error)

    def _reply(self, route: bytes, asked: Header, answer: Answer) -> None:
        """Send an answer back; runs in whatever thread settled it."""
        error: BaseException | None = answer.error
        tag, body = "", b""
        if error is None:
            try:
                tag, body = pack_value(answer.value)
            except FrameError as unfit:
                error = FrameError(f"the answer of {asked.to} does not fit on the wire: {unfit}")
        kind: Kind = "reply" if error is None else "error"
        if error is not None:
            body = pack_error(error)
        header = Header(kind, asked.sender, asked.to, asked.key, asked.msg_id, tag=tag)
        self._ipc.answer(route, Frame(header, body))

    def _serve_watch(self, route: bytes, system: System, name: str, key: int) -> None:

        def on_down(reason: Exit) -> None:
            self._served.pop((route, key), None)
            tag, body = pack_value(Down(MonitorId(key), name, reason))
            header = Header("down", "", f"{name}@{self.name}", key, tag=tag)
            self._ipc.answer(route, Frame(header, body))

        watcher = route.partition(b"#")[0]
        for stale in [known for known in self._served if known[0] != route]:
            if stale[0].partition(b"#")[0] == watcher:
                self._served.pop(stale)()  # of a process that this one succeeds
        self._served[route, key] = _nothing  # on_down may come before watch() has returned
        cancel = system.watch(name, on_down)
        if (route, key) in self._served:
            self._served[route, key] = cancel

    def garbage(self, route: bytes, error: FrameError) -> None:
        """Say back what was wrong with bytes that are no frame for us."""
        self._refuse(route, 0, error)

    def _refuse(self, route: bytes, key: int, error: FrameError) -> None:
        _log.warning("wire: %s refused a frame: %s", self.name, error)
        self._ipc.answer(route, Frame(Header("error", "", self.name, key), pack_error(error)))

    def routeless(self, frame: Frame) -> None:
        """Whoever asked is gone with his process: nobody misses the answer."""
        _log.debug("wire: %s is gone, a %s to it is dropped", frame.header.to, frame.header.kind)

    # ── what comes back to us; I/O thread ────────────────────────────────────────────────────

    def answered(self, peer: str, frame: Frame) -> None:
        """Settle the ask, or fire the monitor, that this frame belongs to."""
        head = frame.header
        match head.kind:
            case "reply" | "error":
                self._settle(peer, frame)
            case "down":
                watch = self._watches.pop(head.key, None)
                down = unpack_value(head.tag, frame.body)
                if watch is not None and isinstance(down, Down):
                    watch.on_down(down.reason)
            case _:
                raise FrameError(f"a {head.kind!r} frame is no answer")

    def _settle(self, peer: str, frame: Frame) -> None:
        head = frame.header
        if head.kind == "error" and head.key == 0:
            # It could not even read our frame: no ask on this link will be answered.
            error = unpack_error(frame.body)
            _log.warning("wire: %s refused a frame of ours: %s", peer, error)
            for ask in self._asks_to(peer):
                ask.answer.settle(error=error)
            return
        ask = self._asks.pop(head.key, None)
        if ask is None:
            if head.kind == "error":
                _log.warning("wire: %s refused a message: %s", peer, unpack_error(frame.body))
            return  # it came after its deadline, or nobody waits
        if head.kind == "error":
            ask.answer.settle(error=unpack_error(frame.body))
            return
        try:
            ask.answer.settle(unpack_value(head.tag, frame.body))
        except FrameError as error:
            ask.answer.settle(error=error)

    def lost(self, peer: str, problem: str, unsent: list[Frame], linked: bool) -> None:
        """Fail at once what waits for a process that is gone; bury what did not reach it."""
        why = f"process {peer} is {problem}"
        unsent_keys = {frame.header.key for frame in unsent}
        for key in [key for key, ask in self._asks.items() if ask.peer == peer]:
            if linked and key not in unsent_keys:
                continue  # it left before the queue was full: its answer still comes
            ask = self._asks.pop(key)
            ask.answer.settle(error=Unreachable(f"{ask.address}: {why}"))
        for key in [key for key, watch in self._watches.items() if watch.peer == peer]:
            if linked and key not in unsent_keys:
                continue
            self._watches.pop(key).on_down(NOPROC)
        for frame in unsent:
            if frame.header.kind == "tell":
                self._bury(frame, why)

    def _bury(self, frame: Frame, why: str) -> None:
        head = frame.header
        if self._system is None:
            _log.warning("wire: a tell to %s is lost: %s", head.to, why)
            return
        message = unpack_value(head.tag, frame.body)
        origin = Origin(head.sender, head.msg_id, head.cause_id, head.trace_id)
        letter = self._system.trace.enclose(message, None, head.to, origin)
        self._system.bury(head.to, letter, Unreachable(f"{head.to}: {why}"))

    def _asks_to(self, peer: str) -> list[_Ask]:
        keys = [key for key, ask in self._asks.items() if ask.peer == peer]
        return [self._asks.pop(key) for key in keys]

    def _remember(self, deadline: float, key: int) -> None:
        if len(self._deadlines) > 1024 + 2 * len(self._asks):
            # Most asks are answered long before their deadline.
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._asks]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (deadline, key))

    def _expire(self, now: float) -> float | None:
        while self._deadlines:
            deadline, key = self._deadlines[0]
            if key in self._asks and deadline > now:
                return deadline
            heapq.heappop(self._deadlines)
            ask = self._asks.pop(key, None)
            if ask is not None:
                ask.answer.expire()
        return None


def _nothing() -> bool:
    """Cancels a watch that has ended."""
    return False
