"""The API's way to the core: asks of ``desk@core`` with a deadline, over a core that restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from covend.api.problems import Problem
from covend.client.models import Fault
from covend.questions import ASK_SECONDS, DESK
from covend.runtime import (
    ActorDead,
    ActorError,
    Answer,
    AskTimeout,
    MailboxFull,
    Message,
    RemoteError,
    ReplyError,
    System,
)
from covend.runtime.frames import FrameError

PAUSE_SECONDS = 0.1
"""Between two attempts while the core is away; a restarted core answers within a second or two."""


FREE = ("value", "inline")
"""What people answer and what is asked about may be any JSON: nobody ever looks for it."""


class Desk:
    """Asks the core's desk. Use it in the loop that serves; no thread is ever held by an ask."""

    def __init__(self, system: System) -> None:
        self._address = system.address(DESK)

    async def ask(self, message: Message, seconds: float = ASK_SECONDS) -> dict[str, Any]:
        """The desk's answer within ``seconds``, asked again while the core restarts.

        So a message must bear being heard twice: give a submission an idempotency key.
        Raises ``Problem``: the desk's refusal, 400 for what cannot be stored, 503 for no answer.
        """
        _check_storable(message)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            try:
                return _granted(await self._once(message, max(0.001, deadline - loop.time())))
            except Problem as problem:
                if problem.status != 503 or loop.time() + PAUSE_SECONDS >= deadline:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def _once(self, message: Message, seconds: float) -> dict[str, Any]:
        """One ask; raises ``Problem`` with 503 where another may be answered."""
        try:
            return await self._answer(message, seconds)
        except (ActorDead, MailboxFull) as error:
            raise _away(f"the core is away: {error}") from error
        except AskTimeout as error:
            raise _away(f"the core did not answer within {seconds:.3g} s") from error
        except (ReplyError, RemoteError, ActorError) as error:
            raise Problem(500, "core_failed", f"the core failed at this: {error}") from error

    async def _answer(self, message: Message, seconds: float) -> Any:
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[Answer] = loop.create_future()

        def on_done(answer: Answer) -> None:
            try:
                loop.call_soon_threadsafe(_give, settled, answer)
            except RuntimeError:
                return  # the loop is closed: the process leaves, and nobody waits any more

        try:
            self._address.ask_later(message, seconds).on_done(on_done)
        except FrameError as error:
            text = f"this cannot be sent to the core: {error}"
            raise Problem(400, "not_storable", text) from error
        answer = await settled
        if answer.error is not None:
            raise answer.error
        return answer.value


def _check_storable(message: Message) -> None:
    """Raise ``Problem`` (400) for U+0000 in what the store may look for: PostgreSQL knows none."""
    todo: list[tuple[str, Any]] = [("$", msgspec.structs.asdict(message))]
    while todo:
        path, value = todo.pop()
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            todo += [(f"{path}.{name}", one) for name, one in members.items() if name not in FREE]
            todo += [(path, name) for name in members]
        elif isinstance(value, list | tuple):
            entries = cast("Sequence[Any]", value)
            todo += [(f"{path}[{place}]", one) for place, one in enumerate(entries)]
        elif isinstance(value, str) and "\0" in value:
            text = "the request has a character in it that cannot be stored"
            fault = Fault(path=path, problem="it has the character U+0000 in it")
            raise Problem(400, "not_storable", text, [fault])


def _give(settled: asyncio.Future[Answer], answer: Answer) -> None:
    if not settled.done():
        settled.set_result(answer)


def _granted(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, unless it is a refusal: then it is raised."""
    if "refused" in answer:
        raise Problem.refused(answer["refused"])
    return answer


def _away(text: str) -> Problem:
    return Problem(503, "core_away", text)
