"""The gate process: uvloop in the main thread, one bridge actor named ``gate``."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import uvloop

from covend.boot.process import NodeProcess, Place, next_incarnation
from covend.gate import Gate
from covend.runtime import Actor, MailboxSpec
from covend.runtime.saying import say

CORE = "dispatcher@core"


class Link:
    """How the gate speaks to the core: tells that never block and may get lost with the core."""

    def __init__(self, process: NodeProcess) -> None:
        self.system = process.system

    def send(self, message: object) -> None:
        """Tell the dispatcher. Any thread; what a dead core misses, the next one asks for."""
        self.system.address(CORE).tell(message)

    def send_to(self, address: str, message: object) -> None:
        """Tell any address of the box. Any thread."""
        self.system.address(address).tell(message)


class Bridge(Actor):
    """Carries what the core says into the gate's loop, in order."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=10_000, policy="drop_oldest")

    def __init__(self, loop: asyncio.AbstractEventLoop, gate: Gate) -> None:
        self.loop = loop
        self.gate = gate

    def on_receive(self, message: object) -> object:
        self.loop.call_soon_threadsafe(self.gate.on_core, message)
        return None


def run(place: Place) -> int:
    """Serve until told to stop; what is in flight then is drained within the gate's own limit."""
    process = NodeProcess(place)
    process.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(place, process))
    finally:
        process.close()
    return 0


async def serve(place: Place, process: NodeProcess) -> None:
    loop = asyncio.get_running_loop()
    incarnation = next_incarnation(place.folders, place.node)
    gate = Gate(
        place.box,
        Link(process),
        name=place.node,
        incarnation=incarnation,
        api=str(place.folders.api),
    )
    await gate.start()
    process.system.spawn(Bridge, loop, gate, name="gate")
    try:
        cause = await asyncio.to_thread(process.wait)
        say(f"{place.node}: leaving ({cause})")
    finally:
        await gate.stop()
