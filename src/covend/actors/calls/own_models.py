"""Calls to this box's models: each is a ghoul job that is named by the call's key (W14, S17).

The broker runs a job once, whoever asks again under its name. A step whose ghoul died in the middle
is made again by another one, which costs time and no money; where the query does not want that, the
job ends instead (P4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from covend.actors.calls import outside
from covend.actors.calls.errand import Errand
from covend.patterns.answers.understanding import Raw
from covend.phylactery.messages import NOT_NOW
from covend.protocol import CancelJob, JobFinished, Step, SubmitJob
from covend.runtime import Context, ReplyError

SUBMIT_SECONDS = 20.0
CHAT = "/v1/chat/completions"


class OwnModels:
    """The jobs under way, and which call each of them is. In the courier's thread."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._names: dict[str, str] = {}

    def submit(self, errand: Errand, failed: Callable[[Raw], None]) -> None:
        """Have a job done for a call; ``failed`` hears why there is none, in any thread."""
        order = errand.order
        self.forget(errand)
        errand.job = named(errand)
        self._names[errand.job] = errand.name
        job = SubmitJob(
            capability=order.responder.model or "",
            steps=[Step(CHAT, outside.completion(order.call, order.responder))],
            klass=order.klass,
            id=errand.job,
            tell="courier@core",
            once=not errand.repeatable,
            run=order.thread,
        )

        def heard(answer: Any) -> None:
            if isinstance(answer.error, ReplyError):
                why = str(answer.error)
                passing = why.startswith(NOT_NOW)  # a store that was full: no word of the broker's
                failed(Raw(failure=why, transport=passing))
            elif answer.error is not None:
                failed(outside.failed(answer.error, indeterminate=True))

        self._ctx.ask_later("broker", job, SUBMIT_SECONDS).on_done(heard)

    def of(self, job: str) -> str:
        """The name of the call that a job is done for, empty for none."""
        return self._names.get(job, "")

    def withdraw(self, job: str) -> None:
        """Nobody waits for it: it ends where no ghoul has it."""
        self._ctx.tell("broker", CancelJob(id=job))

    def forget(self, errand: Errand) -> None:
        """What comes of the call's job is not heard any more."""
        if errand.job is not None and self._names.get(errand.job) == errand.name:
            del self._names[errand.job]


def named(errand: Errand) -> str:
    """The job that a call is: the same one for the same key, until an operator wants another."""
    again = f"-{errand.tries}" if errand.tries else ""
    return f"call-{hashlib.sha256(errand.key.encode()).hexdigest()[:24]}{again}"


def came_of(news: JobFinished) -> Raw:
    """What a job that has ended is to its call: the answer, or why there is none."""
    if news.error is None:
        return Raw(status=200, body=news.results[0] if news.results else None)
    return Raw(failure=news.error, transport=False, indeterminate=news.unclear)
