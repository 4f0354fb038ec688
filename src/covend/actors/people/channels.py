"""Telling people through their channels: apprise, in a few threads of its own (P18)."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from covend.config import expand_env

log = logging.getLogger(__name__)

THREADS = 4
MAX_QUEUED = 10_000
Send: TypeAlias = Callable[[str, str, str], bool]
"""Channel, title, text; whether the channel took it."""


def send(channel: str, title: str, text: str) -> bool:
    """Send one message through an apprise address.

    Blocks as long as the channel takes; what it answers is logged, never its address.
    """
    import apprise  # a tenth of a second and many modules: only where somebody is told

    # No time limit of its own: that takes threads which a process waits for at its end. What it
    # speaks to has one on every connection.
    asset = apprise.AppriseAsset(app_id="covend", app_desc="covend", service_timeout=0)
    messenger: Any = apprise.Apprise(asset=asset)  # its types are partly unknown
    if not messenger.add(channel):
        log.warning("a channel is no apprise address: %s", named(channel))
        return False
    return bool(messenger.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))


def named(channel: str) -> str:
    """A channel for people to read: what follows its scheme is a secret more often than not."""
    return f"{channel.partition(':')[0]}:…"


class Messengers:
    """A few daemon threads that send, in the order they are told to, and say how it went."""

    def __init__(self, through: Send = send) -> None:
        self._send = through
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(MAX_QUEUED)
        self._threads = [
            threading.Thread(target=self._run, name=f"messenger-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def send(
        self,
        channel: str,
        title: str,
        text: str,
        done: Callable[[bool], None],
        *,
        configured: bool = False,
    ) -> bool:
        """Queue one message; False where too many wait. ``done`` is called in a thread of ours.

        ``{env:VAR}`` is replaced where the configuration file gave the channel, and nowhere else:
        whoever may register a responder must not read the box's variables (P18).
        """

        def work() -> None:
            try:
                took = self._send(expand_env(channel) if configured else channel, title, text)
            except Exception as error:  # an address may make apprise, or a name in it, fail anyhow
                log.warning("sending through %s failed: %s", named(channel), type(error).__name__)
                took = False
            try:
                done(took)
            except Exception as error:  # whoever asked is gone; the others' messages are not
                log.warning("nobody heard what became of a message: %s", error)

        try:
            self._queue.put_nowait(work)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """End the threads; what is being sent is left to itself."""
        for _ in self._threads:
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                return  # daemons: they end with the process

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
