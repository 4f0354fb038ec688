"""Moves frames between the processes of one box, over ZeroMQ ipc, in one I/O thread.

Each node binds one ROUTER and opens one DEALER to each peer it speaks to. Answers go back the way
the question came, so a client that binds nothing can ask. A link is made when something is to be
sent and dies with the peer's process, with everything still in it: nothing meant for a dead
process reaches its successor. Nothing here polls: an idle node sleeps in the kernel.

A link's life::

    connecting ──handshake──▶ up ──peer closes──▶ gone
         └───────nobody there────────────────────▶ gone
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import zmq
from zmq.utils.monitor import recv_monitor_message

from covend.runtime.errors import ActorError
from covend.runtime.frames import MAX_BODY, Frame, FrameError, from_parts, to_parts

MAX_QUEUED = 10_000
"""Frames that wait for one peer, in ZeroMQ and again before it; past that, sending fails."""
LINGER_MS = 200
"""How long closing waits for frames already handed to ZeroMQ."""
ROUND = 200
"""Frames read from one socket before the others get their turn."""
MAX_SLEEP = 3600.0
"""Seconds after which even an idle thread with a far deadline looks at the clock."""
MAX_PATH = 107
"""The longest path of a Unix socket on Linux, in bytes."""

_UP = zmq.EVENT_HANDSHAKE_SUCCEEDED
_GONE = (
    zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
_log = logging.getLogger(__name__)


class WireError(ActorError):
    """The node cannot attach: its directory or its name is not fit for it."""


class Receiver(Protocol):
    """Who hears of frames; all calls come in the I/O thread and must not block."""

    def arrived(self, route: bytes, frame: Frame) -> None:
        """A peer sent this on its own link; ``route`` leads back to it."""
        ...

    def answered(self, peer: str, frame: Frame) -> None:
        """This came back on our link to ``peer``."""
        ...

    def garbage(self, route: bytes, error: FrameError) -> None:
        """A local socket sent what is no frame."""
        ...

    def lost(self, peer: str, problem: str, unsent: list[Frame], linked: bool) -> None:
        """These frames did not leave; unless still ``linked``, no answers come from there."""
        ...

    def routeless(self, frame: Frame) -> None:
        """Whoever was to get this answer is gone."""
        ...


@dataclass
class _Link:
    """One DEALER to a peer, with its monitor and what waits for room."""

    peer: str
    dealer: zmq.Socket[bytes]
    monitor: zmq.Socket[bytes]
    up: bool = False
    waiting: deque[Frame] = field(default_factory=deque[Frame])


def wire_dir(run_dir: str | Path) -> Path:
    """The directory of the box's sockets, made with mode 0700 if it is not there.

    Raises ``WireError`` if it is somebody else's or others may enter it.
    """
    path = Path(run_dir) / "wire"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise WireError(f"{path} must be a directory of user {os.geteuid()}")
    if info.st_mode & 0o077:
        mode = stat.S_IMODE(info.st_mode)
        raise WireError(f"{path} has mode {mode:04o}: others may enter it; chmod 0700 it")
    return path


def socket_path(directory: Path, node: str) -> Path:
    """The socket of a node. Raises ``WireError`` for names and paths that cannot be one."""
    if not node or "/" in node or "@" in node or node.startswith("."):
        raise WireError(f"{node!r} is no node name: give a word without '/', '@' and leading '.'")
    path = directory / f"{node}.sock"
    if len(os.fsencode(path)) > MAX_PATH:
        raise WireError(f"{path} is longer than {MAX_PATH} bytes: choose a shorter run directory")
    return path


def answers(path: Path) -> bool:
    """True if a process listens at this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fsencode(path))
        except BlockingIOError:
            return True  # its backlog is full: somebody listens, slowly
        except OSError:
            return False
        return True


class Ipc:
    """One process's sockets and the thread that serves them.

    ``send``, ``answer``, ``call_at`` and ``close`` may be called from any thread and do not block.
    ``bind=False`` makes a client that others cannot address.
    """

    def __init__(self, node: str, run_dir: str | Path, receiver: Receiver, bind: bool) -> None:
        self.node = node
        self.incarnation = time.monotonic_ns()
        self._dir = wire_dir(run_dir)
        self._receiver = receiver
        self._links: dict[str, _Link] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_at: Callable[[float], float | None] = lambda now: None
        self._closing = False
        self._freed = False
        self._guard = threading.Lock()
        self._signalled = False
        self._path = socket_path(self._dir, node)
        if bind and answers(self._path):
            raise WireError(f"a process that is node {node!r} already runs here ({self._path})")
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._router: zmq.Socket[bytes] | None = None
        if bind:
            self._router = self._socket(zmq.ROUTER)
            self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self._router.bind(f"ipc://{self._path}")
            self._poller.register(self._router, zmq.POLLIN)
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._wakeup, zmq.POLLIN)
        self._thread = threading.Thread(target=self._run, name=f"wire-{node}", daemon=True)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closing

    def start(self, wake_at: Callable[[float], float | None]) -> None:
        """Begin to serve. ``wake_at(now)`` runs in the I/O thread before each sleep: it does what
        is due and returns when it wants to run again, as monotonic seconds or None."""
        self._wake_at = wake_at
        self._thread.start()

    def send(self, peer: str, frame: Frame) -> None:
        """Hand a frame to the link to ``peer``; failures come back through ``Receiver.lost``."""
        self.call(lambda: self._send(peer, frame))

    def answer(self, route: bytes, frame: Frame) -> None:
        """Send a frame back the way another one came."""
        self.call(lambda: self._answer(route, frame))

    def call(self, function: Callable[[], None]) -> None:
        """Run a short function in the I/O thread."""
        self._calls.append(function)
        # The thread clears the flag before it looks at the queue, so no call is overlooked.
        if not self._signalled:
            self._wake()

    def _wake(self) -> None:
        with self._guard:  # else the number might be another file's by now
            if not self._freed:
                self._signalled = True
                os.eventfd_write(self._wakeup, 1)

    def close(self, timeout: float = 5.0) -> None:
        """Stop serving, remove the own socket, free everything. Safe to call twice."""
        if self._closing:
            return
        self._closing = True
        if self._thread.ident is not None:
            self._wake()
            if self._thread is not threading.current_thread():
                self._thread.join(timeout)
        else:
            self._free()

    # ── in the I/O thread ────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn(self._wake_at(time.monotonic()))
            self._drain_calls()
            until = time.monotonic() + LINGER_MS / 1000
            while any(link.waiting for link in self._links.values()):
                if time.monotonic() >= until:
                    break
                self._turn(until)  # what was said before closing still leaves
        finally:
            self._free()

    def _turn(self, until: float | None) -> None:
        """Sleep until something comes or ``until``, and see to it."""
        timeout = None
        if until is not None:
            timeout = int(min(max(0.0, until - time.monotonic()), MAX_SLEEP) * 1000) + 1
        for source, _ in self._poller.poll(timeout):
            try:
                self._serve(source)
            except Exception:
                _log.exception("wire: the I/O thread goes on after an error")

    def _serve(self, source: Any) -> None:
        if source == self._wakeup:
            os.eventfd_read(self._wakeup)
            self._signalled = False
            self._drain_calls()
        elif self._router is not None and source is self._router:
            self._read_router(self._router)
        else:
            self._read_link(source)

    def _drain_calls(self) -> None:
        for _ in range(len(self._calls)):
            function = self._calls.popleft()
            try:
                function()
            except Exception:
                _log.exception("wire: a call in the I/O thread failed")
        if self._calls and not self._signalled:
            self._wake()

    def _send(self, peer: str, frame: Frame) -> None:
        link = self._links.get(peer)
        if link is None:
            try:
                link = self._connect(peer)
            except (WireError, zmq.ZMQError) as error:
                self._receiver.lost(peer, str(error), [frame], linked=False)
                return
        if link.up and not link.waiting and self._put(link, frame):
            return
        if len(link.waiting) >= MAX_QUEUED:
            self._receiver.lost(peer, f"busy: {MAX_QUEUED} messages wait", [frame], linked=True)
            return
        link.waiting.append(frame)
        if link.up:
            self._poller.modify(link.dealer, zmq.POLLIN | zmq.POLLOUT)

    def _put(self, link: _Link, frame: Frame) -> bool:
        try:
            link.dealer.send_multipart(to_parts(frame), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _answer(self, route: bytes, frame: Frame) -> None:
        if self._router is None:
            return
        try:
            self._router.send_multipart([route, *to_parts(frame)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            self._receiver.routeless(frame)

    def _connect(self, peer: str) -> _Link:
        path = socket_path(self._dir, peer)
        if not answers(path):
            raise WireError("not there")
        dealer = self._socket(zmq.DEALER)
        dealer.setsockopt(zmq.IMMEDIATE, 1)
        # Unique in this boot, so that a peer never takes a successor of ours for ourselves.
        dealer.setsockopt(zmq.ROUTING_ID, f"{self.node}#{self.incarnation:x}".encode())
        monitor = dealer.get_monitor_socket(_UP | _GONE)
        link = self._links[peer] = _Link(peer, dealer, monitor)
        self._poller.register(monitor, zmq.POLLIN)
        self._poller.register(dealer, zmq.POLLIN)
        dealer.connect(f"ipc://{path}")
        return link

    def _read_router(self, router: zmq.Socket[bytes]) -> None:
        for _ in range(ROUND):
            try:
                route, *parts = router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._receiver.arrived(route, from_parts(parts))
            except FrameError as error:
                self._receiver.garbage(route, error)
            except Exception:
                _log.exception("wire: a frame could not be delivered")

    def _read_link(self, source: Any) -> None:
        for link in list(self._links.values()):
            if source is link.dealer:
                self._read_dealer(link)
                self._flush(link)
                return
            if source is link.monitor:
                self._read_monitor(link)
                return

    def _read_dealer(self, link: _Link) -> None:
        for _ in range(ROUND):
            try:
                parts = link.dealer.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._receiver.answered(link.peer, from_parts(parts))
            except FrameError as error:
                _log.warning("wire: %s answered with garbage: %s", link.peer, error)
            except Exception:
                _log.exception("wire: an answer could not be delivered")

    def _flush(self, link: _Link) -> None:
        if not link.up:
            return
        while link.waiting:
            if not self._put(link, link.waiting[0]):
                self._poller.modify(link.dealer, zmq.POLLIN | zmq.POLLOUT)
                return
            link.waiting.popleft()
        self._poller.modify(link.dealer, zmq.POLLIN)

    def _read_monitor(self, link: _Link) -> None:
        while link.peer in self._links:
            try:
                event = recv_monitor_message(link.monitor, zmq.NOBLOCK)["event"]
            except zmq.Again:
                return
            if event & _UP:
                link.up = True
                self._flush(link)
            elif event & _GONE:
                self._read_dealer(link)  # answers that came before the end still count
                self._drop(link, "gone" if link.up else "not there")

    def _drop(self, link: _Link, problem: str) -> None:
        del self._links[link.peer]
        self._close_link(link, linger=0)
        self._receiver.lost(link.peer, problem, list(link.waiting), linked=False)

    def _close_link(self, link: _Link, linger: int) -> None:
        self._poller.unregister(link.monitor)
        self._poller.unregister(link.dealer)
        link.dealer.disable_monitor()
        link.monitor.close(0)
        link.dealer.close(linger)

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        made.setsockopt(zmq.LINGER, LINGER_MS)
        made.setsockopt(zmq.SNDTIMEO, 0)
        made.setsockopt(zmq.SNDHWM, MAX_QUEUED)
        made.setsockopt(zmq.RCVHWM, MAX_QUEUED)
        made.setsockopt(zmq.MAXMSGSIZE, MAX_BODY + 4096)
        return made

    def _free(self) -> None:
        for link in self._links.values():
            self._close_link(link, linger=LINGER_MS)
        self._links.clear()
        if self._router is not None:
            self._path.unlink(missing_ok=True)  # before closing: later it may be a successor's
            self._router.close(LINGER_MS)
        self._context.term()
        with self._guard:
            self._freed = True
            os.close(self._wakeup)
