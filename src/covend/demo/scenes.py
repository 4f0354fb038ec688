"""What the demo does, one function a scene; each leaves its checks behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from covend.demo.box import DemoBox, DemoFailed, kill
from covend.demo.clients import Clients, Request
from covend.protocol import Step, SubmitJob
from covend.runtime import ActorError

T = TypeVar("T")

WELL_UNDER_WAY = 20
"""Chunks of a stream after which something is killed."""
TITAN, KINETIC, EMBEDDER, LEXICON = "thinker", "chatter", "embedder", "lexicon"


@dataclass(frozen=True, slots=True)
class Check:
    """Something that had to happen, whether it did, and what was seen."""

    what: str
    ok: bool
    seen: str


@dataclass(slots=True)
class Stage:
    """What every scene has at hand."""

    box: DemoBox
    clients: Clients
    say: Callable[[str], None]
    checks: list[Check] = field(default_factory=list[Check])

    def check(self, what: str, ok: bool, seen: str) -> None:
        self.checks.append(Check(what, ok, seen))
        self.say(f"{'✔' if ok else '✘'} {what}: {seen}")


def both_models(stage: Stage) -> None:
    """Interleaved streams to two models that do not fit together."""
    stage.say("Scene 1: streams to both chat models at once; only one fits at a time")
    stage.clients.join([stage.clients.stream(LEXICON, "Say yes.", 4)])
    requests: list[Request] = []
    for index in range(3):
        requests.append(stage.clients.stream(KINETIC, f"Name {index + 2} colours.", 24))
        requests.append(stage.clients.stream(TITAN, f"Count to {index + 3}.", 24))
    during = wait(lambda: stage.box.status()["transition"], 30, "a swap to be under way")
    lexicon = stage.clients.stream(LEXICON, "Say yes.", 8)
    stage.clients.join([lexicon, *requests])
    answered = sum(request.outcome == "answered" for request in requests)
    stage.check("every interleaved stream is answered whole", answered == 6, f"{answered} of 6")
    stage.check(
        "the lexicon answers while models are swapped",
        lexicon.outcome == "answered",
        f"first token {lexicon.waited:.2f} s after it was asked, the swap being {during['phase']}",
    )


def reflex_over_batch(stage: Stage) -> None:
    """A background batch on one model, an interactive request to the other."""
    stage.say("Scene 2: an interactive request against a background batch")
    batch = [
        stage.clients.stream(KINETIC, f"Write a sentence about the number {n}.", 40, "ritual")
        for n in range(12)
    ]
    batch[0].started.wait(60)
    reflex = stage.clients.stream(TITAN, "Quick: what is two plus two?", 16)
    embeds = stage.clients.embed(EMBEDDER, ["a box of models", "a box of actors"])
    stage.clients.join([reflex, embeds, *batch])
    done = sum(request.outcome == "answered" for request in batch)
    late = sum((request.ended or 0) > (reflex.ended or 0) for request in batch)
    stage.check(
        "the interactive request does not wait for the batch",
        reflex.outcome == "answered" and late > 0,
        f"answered after {reflex.waited:.2f} s, {late} of the batch still to come",
    )
    stage.check("the batch is finished all the same", done == 12, f"{done} of 12")
    stage.check("the embedder answers", embeds.outcome == "answered", embeds.detail)


def parked_job(stage: Stage) -> None:
    """A ghoul's job is parked by a swap and goes on after it."""
    stage.say("Scene 3: a background job is parked by a swap, and goes on where it stood")
    steps = [
        Step(
            "/v1/chat/completions",
            {
                "model": KINETIC,
                "messages": [{"role": "user", "content": f"Step {n}: one word."}],
                "max_tokens": 24,
            },
        )
        for n in range(10)
    ]
    job = stage.box.submit(SubmitJob(capability=KINETIC, steps=steps))
    wait(lambda: stage.box.job(job)["done"] >= 2, 60, "the job to begin")
    swap = stage.box.swap(TITAN)
    parked = stage.box.job(job)
    stage.clients.join([stage.clients.stream(TITAN, "Say hello.", 12)])
    wait(lambda: stage.box.job(job)["status"] in ("done", "failed"), 90, "the job to end")
    ended = stage.box.job(job)
    stage.check(
        "the swap parked the job at a step",
        ended["parked"] >= 1 and parked["done"] < 10,
        f"swapped in {swap['seconds']:.2f} s, job at step {parked['done']} of 10",
    )
    stage.check(
        "the parked job went on, nothing lost or done twice",
        ended["status"] == "done" and len(ended["results"]) == 10,
        f"{ended['status']} with {len(ended['results'])} results",
    )


def core_killed(stage: Stage) -> None:
    """``kill -9`` of the core while a stream runs."""
    stage.say("Scene 4: kill -9 of the core in the middle of a stream")
    stream = stage.clients.stream(KINETIC, "Tell a long story about a lighthouse.", 160)
    wait(lambda: stream.chunks >= WELL_UNDER_WAY, 60, "the stream to be well under way")
    before = stage.box.status()["core_incarnation"]
    pid = stage.box.pid_of("core")
    kill(pid)
    at_kill = stream.chunks
    stage.clients.join([stream])
    after = wait(
        lambda: (s := stage.box.status())["core_incarnation"] != before and s["core_incarnation"],
        30,
        "the core to be back",
    )
    stage.check(
        "the stream outlives the core",
        stream.outcome == "answered" and stream.chunks > at_kill,
        f"{at_kill} chunks at the kill of pid {pid}, {stream.chunks} at the end",
    )
    again = stage.clients.stream(TITAN, "Are you there?", 8)
    stage.clients.join([again])
    stage.check(
        "the new core adopts the box and swaps again",
        again.outcome == "answered",
        f"incarnation {after}, answered after {again.waited:.2f} s",
    )


def soulstone_killed(stage: Stage) -> None:
    """``kill -9`` of a soulstone while it streams."""
    stage.say("Scene 5: kill -9 of a model server in the middle of its stream")
    stream = stage.clients.stream(TITAN, "Tell a long story about the sea.", 160)
    wait(lambda: stream.chunks >= WELL_UNDER_WAY, 60, "the stream to be well under way")
    pid = stage.box.soulstone_pid(TITAN)
    kill(pid)
    stage.clients.join([stream])
    stage.check(
        "the broken stream ends in a proper error",
        stream.outcome == "error",
        f"{stream.outcome} after {stream.chunks} chunks: {stream.detail[:90]}",
    )
    again = stage.clients.stream(TITAN, "And now?", 12)
    stage.clients.join([again])
    stage.check(
        "the model is started again by itself",
        again.outcome == "answered",
        f"answered after {again.waited:.2f} s by pid {stage.box.soulstone_pid(TITAN)}",
    )


SCENES = (both_models, reflex_over_batch, parked_job, core_killed, soulstone_killed)


def wait(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Poll until the condition holds and return it; raises ``DemoFailed`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except ActorError:
            pass  # the core may be starting again
        time.sleep(0.05)
    raise DemoFailed(f"waited {seconds:.0f} s for {what} in vain")
