"""The API process: the HTTP API on a Unix socket, behind the gates (decision 0004)."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from covend.boot.process import NodeProcess, Place
from covend.runtime.saying import say

BACKLOG = 256


def run(place: Place) -> int:
    """Serve until told to stop. The web framework is loaded for the first request, not before."""
    process = NodeProcess(place)
    process.start()
    path = place.folders.api
    listening = listen(path)
    try:
        with asyncio.Runner() as runner:
            runner.run(serve(process, listening))
    finally:
        listening.close()
        path.unlink(missing_ok=True)
        process.close()
    return 0


def listen(path: Path) -> socket.socket:
    """A listening socket of mode 0600; replaces what a process that was killed left there.

    Raises ``OSError`` where the folder does not allow it.
    """
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        os.chmod(path, 0o600)  # nobody could connect before: it did not listen
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


async def serve(process: NodeProcess, listening: socket.socket) -> None:
    """Wait for the first client, then be a web server until the process is told to end."""
    ended = asyncio.create_task(asyncio.to_thread(process.wait))
    wanted = asyncio.create_task(_readable(listening))
    await asyncio.wait((ended, wanted), return_when=asyncio.FIRST_COMPLETED)
    wanted.cancel()
    if not ended.done():
        from covend.api.serving import web_server

        server = web_server(process.system, process.place.box.gate.max_body_bytes)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await asyncio.wait((ended, serving), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        try:
            await serving
        finally:
            process.end("the web server ended")  # if nobody said so: the root starts another
    say(f"{process.place.node}: leaving ({await ended})")


async def _readable(listening: socket.socket) -> None:
    """Until somebody connects."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(listening, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(listening)
