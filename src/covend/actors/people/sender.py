"""The process that sends messages through apprise, outside of the core (P18).

A channel is somebody's server: it may answer without an end, or a byte a second. So no message is
sent in the core. This process is started for those that are due together, as importing apprise
takes half a second, and ends with them: nothing that one of them left behind reaches the next, and
the core keeps neither apprise nor a second long-lived process. Each message has a fork to itself,
with a time and a memory of its own; one that exceeds them fails, and no other.

It reads ``{"seconds": …, "bytes": …, "messages": [[channel, title, text], …]}`` as JSON on its
standard input, where no list of processes shows the addresses, and writes whether each was taken,
``[true, false, …]``. What apprise complains of goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def main() -> None:
    """Send what standard input says, all at once; returns when the last has ended."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    told = json.load(sys.stdin)
    seconds: int = told["seconds"]
    messages: list[tuple[str, str, str]] = told["messages"]
    load_plugins()
    pids = [fork(*message, seconds=seconds, more_bytes=told["bytes"]) for message in messages]
    endings = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    for (channel, *_), ending in zip(messages, endings, strict=True):
        if ending == -signal.SIGALRM:
            log.warning("%s did not take a message within %d s", named(channel), seconds)
    json.dump([ending == 0 for ending in endings], sys.stdout)


def load_plugins() -> None:
    """Have apprise look through its plugins now, so that no fork has to."""
    import apprise

    messenger: Any = apprise.Apprise()  # its types are partly unknown
    messenger.add("json://localhost")


def fork(channel: str, title: str, text: str, *, seconds: int, more_bytes: int) -> int:
    """Begin to send a message; the pid of its process, which ends with 0 if it was taken."""
    if pid := os.fork():
        return pid
    took = False
    try:
        os.dup2(2, 1)  # what a plugin prints is no answer of ours
        confine(seconds, more_bytes)
        took = deliver(channel, title, text)
    except BaseException as error:  # an address may make apprise fail anyhow; its text may tell it
        log.warning("sending through %s failed: %s", named(channel), type(error).__name__)
    finally:
        os._exit(0 if took else 1)


def confine(seconds: int, more_bytes: int) -> None:
    """Keep this process within so much time from now, and so much more memory than it has now."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def deliver(channel: str, title: str, text: str) -> bool:
    """Send one message through an apprise address; whether the channel took it.

    Blocks as long as the channel takes; what it answers is logged, never its address. One that
    sends on to elsewhere did not take it: a page to log in to would count as an answer.
    """
    import apprise  # a tenth of a second and many modules: only where somebody is told

    # No time limit of its own: that takes threads, and a process waits for them at its end.
    asset = apprise.AppriseAsset(
        app_id="covend", app_desc="covend", service_timeout=0, http_redirects=False
    )
    messenger: Any = apprise.Apprise(asset=asset)
    if not messenger.add(channel):
        log.warning("a channel is no apprise address: %s", named(channel))
        return False
    return bool(messenger.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))


def named(channel: str) -> str:
    """A channel for people to read: what follows its scheme is a secret more often than not."""
    return f"{channel.partition(':')[0]}:…"


if __name__ == "__main__":
    main()
