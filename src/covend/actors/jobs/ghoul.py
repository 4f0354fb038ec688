"""The ghoul: runs one job at a time in atomic steps, in a worker process of its own.

A step is one call through the gate. A ghoul claims nothing while it is parked: the broker hands it
a job only when the job's capability is open. On ``ParkJob`` (its SIG_SOFT_STOP, S17) it ends the
step it is in, makes the result durable, confirms with its boundary and forgets the job; the broker
hands the job out again, from the boundary, when the hardware is back. A step whose ghoul is killed
in the middle is made again by another ghoul: at least once, for half an answer cannot be taken up.

The call itself runs in a helper thread, so that the actor answers its control lane meanwhile.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from covend.actors.jobs.book import UNCLEAR, step_body
from covend.phylactery.canonical import canonical, parse
from covend.protocol import (
    Drained,
    GhoulHello,
    Job,
    JobEnded,
    ParkJob,
    RunJob,
    StepDone,
)
from covend.runtime import Actor, ActorError, Exit, MailboxSpec, Message, RemoteError, ReplyError
from covend.runtime.frames import FrameError

BROKER = "broker@core"
STEP_WAIT_SECONDS = 2.0
"""How long a step may wait in the gate: a job's demand is the broker's signal, not the step's."""
STEP_SECONDS = 600.0
RETRY_SECONDS = 0.25
HELLO_SECONDS = 1.0
REFUSED = frozenset({429, 502, 503, 504})
"""The gate could not serve the step now: it has no result, the job goes back to the broker."""
DIED = 502
"""The soulstone died at it: something of the step was made."""
MOST_BROKEN_OFF = 5
"""A step that broke off so often in one ghoul's hands is what broke it: no soulstone is to die of
it for ever.
"""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What the helper thread found: an answer, ``refused`` (try later) or an ``error`` for good.

    ``begun`` says of a step without an answer that something of it may have been made.
    """

    epoch: int
    index: int
    answer: dict[str, Any] | None = None
    refused: str | None = None
    error: str | None = None
    begun: bool = False


class Report(Message, frozen=True):
    """A timer's message: say hello, or tell the broker again what it has not acknowledged."""

    what: str


class Ghoul(Actor):
    """One worker actor; see the module for its contract (S17)."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100, policy="reject")

    def __init__(self, gate: str, address: str, api_key: str | None = None) -> None:
        self.gate = gate
        self.address = address
        self.api_key = api_key
        self.job: Job | None = None
        self.epoch = 0
        self.index = 0
        self.unacknowledged: StepResult | None = None
        self.parking: ParkJob | None = None
        self.broken_off: Counter[tuple[str, int]] = Counter()
        """How often each step broke off in the middle, by its job and its index."""

    def on_start(self) -> None:
        self.ctx.tell(self.ctx.me, Report("hello"))

    def on_stop(self, reason: Exit) -> None:
        self.job = None

    def on_receive(self, message: object) -> object:
        match message:
            case RunJob():
                self.run(message)
            case StepResult():
                self.step_ended(message)
            case ParkJob():
                self.park(message)
            case Report(what="hello"):
                self.hello()
            case Report():
                self.report_step()
            case _:
                pass
        return None

    def hello(self) -> None:
        """Tell the broker that this ghoul is there; repeated, since the core may be restarting."""
        job = self.job.id if self.job else None
        self.ctx.tell(
            self.ctx.system.address(BROKER),
            GhoulHello(ghoul=self.ctx.name, address=self.address, epoch=self.epoch, job=job),
        )
        self.ctx.timer("hello", HELLO_SECONDS, Report("hello"))

    def run(self, order: RunJob) -> None:
        """Take a job on from its boundary; an order older than the one in hand is dropped."""
        if order.epoch <= self.epoch or (self.job and self.unacknowledged):
            return
        self.job, self.epoch, self.index = order.job, order.epoch, order.job.done
        self.parking = None
        self.next_step()

    def next_step(self) -> None:
        job = self.job
        if job is None:
            return
        if self.index >= len(job.steps):
            self.end(None)
            return
        step, epoch, index = job.steps[self.index], self.epoch, self.index
        headers = {
            "Content-Type": "application/json",
            "X-Covend-Class": job.klass,
            "X-Covend-Timeout": str(STEP_WAIT_SECONDS),
            "Idempotency-Key": f"{job.id}/{index}",
        }
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        body = json.dumps(step.body).encode()
        me = self.ctx.me

        def call() -> None:
            me.tell(call_gate(self.gate, step.path, headers, body, epoch, index))

        threading.Thread(target=call, name=f"{self.ctx.name}-step", daemon=True).start()

    def step_ended(self, result: StepResult) -> None:
        if self.job is None or result.epoch != self.epoch:
            return
        step = (self.job.id, result.index)
        if result.begun:
            self.broken_off[step] += 1
        if result.begun and self.job.once:
            self.end(UNCLEAR)
        elif result.error is not None:
            self.end(result.error)
        elif result.refused is not None and self.broken_off[step] >= MOST_BROKEN_OFF:
            self.end(f"step {result.index}: it broke off {MOST_BROKEN_OFF} times: {result.refused}")
        elif result.refused is not None:
            self.give_back()
        else:
            del self.broken_off[step]
            self.unacknowledged = result
            self.report_step()

    def report_step(self) -> None:
        """Make the finished step durable before anything else is begun (P3's habit).

        The broker may be away with a restarting core, or its store full: the report is repeated
        until it is accepted. One that is too large to get there never will be.
        """
        result, job = self.unacknowledged, self.job
        if result is None or job is None:
            return
        self.hello()  # a new broker would take the report of a stranger for a stale one
        try:
            accepted = self.ctx.ask(
                self.ctx.system.address(BROKER),
                StepDone(
                    ghoul=self.ctx.name,
                    epoch=self.epoch,
                    job=job.id,
                    index=result.index,
                    result=result.answer or {},
                ),
                timeout=5.0,
            )
        except FrameError as error:
            self.unacknowledged = None
            self.end(f"step {result.index}: the answer cannot be kept: {error}")
            return
        except (ActorError, ReplyError, RemoteError):
            self.ctx.timer("report", RETRY_SECONDS, Report("step"))
            return
        self.unacknowledged = None
        if not accepted:  # another ghoul owns the job by now: this copy is stale
            self.job = None
            self.confirm()
            return
        self.index = result.index + 1
        if self.index >= len(job.steps):
            self.end(None)
        elif self.parking:
            self.give_back()
        else:
            self.next_step()

    def end(self, error: str | None) -> None:
        job = self.job
        if job is None:
            return
        self.ctx.tell(
            self.ctx.system.address(BROKER),
            JobEnded(ghoul=self.ctx.name, epoch=self.epoch, job=job.id, error=error),
        )
        self.job = None
        self.confirm()

    def give_back(self) -> None:
        """Put the job down at its boundary and say so; the broker will hand it out again."""
        job = self.job
        self.job = None
        boundaries = {job.id: self.index} if job else {}
        if self.parking is None:
            self.ctx.tell(
                self.ctx.system.address(BROKER),
                Drained(epoch=self.epoch, node=self.ctx.name, active=0, boundaries=boundaries),
            )
        self.confirm(boundaries)

    def park(self, order: ParkJob) -> None:
        """SIG_SOFT_STOP: between steps confirm at once, else when the step has ended (S17)."""
        self.parking = order
        if self.job is None:
            self.confirm()

    def confirm(self, boundaries: dict[str, int] | None = None) -> None:
        order, self.parking = self.parking, None
        if order is not None:
            self.ctx.tell(
                self.ctx.system.address(order.reply_to),
                Drained(
                    epoch=order.epoch, node=self.ctx.name, active=0, boundaries=boundaries or {}
                ),
            )


def call_gate(
    gate: str, path: str, headers: dict[str, str], body: bytes, epoch: int, index: int
) -> StepResult:
    """Make one call through the gate. Runs in the step's helper thread; never raises."""
    where = urlsplit(gate)
    connection = http.client.HTTPConnection(
        where.hostname or "127.0.0.1", where.port or 80, timeout=STEP_SECONDS
    )
    begun = False
    try:
        connection.connect()
        begun = True
        connection.request("POST", path, body=body, headers=headers)
        response = connection.getresponse()
        raw = response.read()
    except (ValueError, http.client.InvalidURL) as error:
        return StepResult(epoch, index, error=f"step {index}: it cannot be sent: {error}")
    except (OSError, http.client.HTTPException) as error:
        if begun and isinstance(error, TimeoutError):  # and so it would be every time
            text = f"step {index}: no answer within {STEP_SECONDS:g} s"
            return StepResult(epoch, index, error=text, begun=True)
        return StepResult(epoch, index, refused=f"{type(error).__name__}: {error}", begun=begun)
    finally:
        connection.close()
    if response.status in REFUSED:
        text = f"{response.status}: {raw[:200]!r}"
        return StepResult(epoch, index, refused=text, begun=response.status == DIED)
    if response.status != 200:
        text = raw[:500].decode("utf-8", "replace")
        return StepResult(epoch, index, error=f"step {index}: HTTP {response.status}: {text}")
    try:
        return StepResult(epoch, index, answer=kept(raw, index))
    except ValueError as error:
        return StepResult(epoch, index, error=f"step {index}: the answer cannot be kept: {error}")


def kept(raw: bytes, index: int) -> dict[str, Any]:
    """A step's answer as its record will hold it: an integer beyond ±(2⁵³-1) is a float there.

    Raises ``ValueError`` for what is no JSON object, or one that no record can hold (D1).
    """
    answer = parse(raw.decode("utf-8-sig"))
    if not isinstance(answer, dict):
        raise ValueError(f"it is a {type(answer).__name__}, not an object")
    found = cast("dict[str, Any]", answer)
    canonical(step_body(index, found))
    return found
