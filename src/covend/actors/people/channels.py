"""Telling people through their channels: in processes of their own, a few at once (P18)."""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from covend.actors.calls.pipes import begin, kill_session, talk
from covend.actors.people import sender
from covend.actors.people.sender import named
from covend.config import expand_env

log = logging.getLogger(__name__)

THREADS = 4
"""So many processes send at once, as far as nothing failed before."""
THREADS_AGAIN = 2
"""And so many to channels that failed: these may take all of their time, again and again."""
TOGETHER = 8
"""So many messages one of them sends at most."""
LINGER_SECONDS = 0.02
"""How long one that is due waits for others to be sent along."""
SECONDS = 30
"""How long the sending of one message may take."""
BYTES = 128 * 1024 * 1024
"""How much memory it may take beyond that of apprise."""
START_SECONDS = 15.0
"""How long a process may take beyond the time that each of its messages has."""
MAX_QUEUED = 10_000
MAX_ANSWER_BYTES = 64 * 1024
COMPLAINT_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Message:
    """What one channel is to be told."""

    channel: str
    title: str
    text: str


Send: TypeAlias = Callable[[Sequence[Message]], Sequence[bool]]
"""Sends messages, all at once; whether each was taken by its channel."""


def send(messages: Sequence[Message]) -> Sequence[bool]:
    """Send messages in a process of their own, which ends with this one however that ends (S16).

    Blocks until each was taken, or failed, within ``SECONDS``. Raises ``OSError``,
    ``TimeoutError``, ``TooMuch`` or ``ValueError`` where it is not known what became of them.
    """
    listed = [(one.channel, one.title, one.text) for one in messages]
    told = json.dumps({"seconds": SECONDS, "bytes": BYTES, "messages": listed}).encode()
    with begin((sys.executable, "-P", "-m", sender.__name__)) as process:
        try:
            said = talk(process, told, SECONDS + START_SECONDS, MAX_ANSWER_BYTES)
        finally:
            kill_session(process.pid)
    if complaint := said.complaint.decode(errors="replace").strip():
        log.warning("sending to people: %s", complaint[-COMPLAINT_CHARACTERS:])
    took: list[bool] = json.loads(said.output)
    return took


@dataclass(frozen=True, slots=True)
class Order:
    """A message that waits to be sent, and who hears how that went."""

    message: Message
    configured: bool
    done: Callable[[bool], None]

    def settle(self, took: bool) -> None:
        try:
            self.done(took)
        except Exception as error:  # whoever asked is gone; the others' messages are not
            log.warning("nobody heard what became of a message: %s", error)


class Messengers:
    """Has messages sent in threads of its own; those to channels that failed hold up no others."""

    def __init__(self, through: Send = send) -> None:
        self._first = Lane("messenger", THREADS, through)
        self._again = Lane("messenger-again", THREADS_AGAIN, through)

    def send(
        self,
        channel: str,
        title: str,
        text: str,
        done: Callable[[bool], None],
        *,
        configured: bool = False,
        again: bool = False,
    ) -> bool:
        """Queue one message; False where too many wait. ``done`` is called in a thread of ours.

        ``again`` says that the channel failed the last time.

        ``{env:VAR}`` is replaced where the configuration file gave the channel, and nowhere else:
        whoever may register a responder must not read the box's variables (P18).
        """
        lane = self._again if again else self._first
        return lane.put(Order(Message(channel, title, text), configured, done))

    def close(self) -> None:
        """End the threads; what is being sent is left to itself."""
        self._first.close()
        self._again.close()


class Lane:
    """A few daemon threads that have messages sent, in the order they are told to.

    What is due together is sent together: a process takes half a second to start.
    """

    def __init__(self, name: str, threads: int, through: Send) -> None:
        self._send = through
        self._queue: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._taking = threading.Lock()
        for number in range(threads):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def put(self, order: Order) -> bool:
        """Queue a message; False where too many wait."""
        if self._queue.qsize() >= MAX_QUEUED:
            return False
        self._queue.put(order)
        return True

    def close(self) -> None:
        """End the threads once they are through with what waits."""
        self._queue.put(None)

    def _run(self) -> None:
        while orders := self._take():
            self._carry_out(orders)

    def _take(self) -> list[Order]:
        """Wait for what is due, one thread at a time; nothing at the end."""
        taken: list[Order] = []
        with self._taking:
            while len(taken) < TOGETHER:
                try:
                    order = self._queue.get(timeout=LINGER_SECONDS if taken else None)
                except queue.Empty:
                    break
                if order is None:
                    self._queue.put(None)  # for the next thread
                    break
                taken.append(order)
        return taken

    def _carry_out(self, orders: Sequence[Order]) -> None:
        ready: list[Order] = []
        messages: list[Message] = []
        for order in orders:
            message = order.message
            try:
                channel = expand_env(message.channel) if order.configured else message.channel
            except ValueError as error:
                log.warning("a channel %s is not complete: %s", named(message.channel), error)
                order.settle(False)
                continue
            ready.append(order)
            messages.append(Message(channel, message.title, message.text))
        try:
            took = self._send(messages) if messages else ()
        except Exception as error:  # whatever it is, they are tried again
            log.warning("%d messages were not sent: %s", len(messages), type(error).__name__)
            took = [False] * len(messages)
        for order, one in zip(ready, took, strict=True):
            order.settle(one)
