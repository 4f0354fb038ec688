"""The demo's second act: each of the six patterns once, a query begun by another, and a crash.

The models are small and often wrong. What must happen is what the patterns promise whatever the
models say.
"""

from __future__ import annotations

from typing import Any

from covend.client import Client
from covend.client.models import Answer, Event
from covend.demo.box import kill
from covend.demo.provider import Provider
from covend.demo.scenes import KINETIC, LEXICON, Stage, wait

PERSON = "did:web:demo.covend.dev:ann"
CHATTER, SMALL = {"id": f"model:{KINETIC}"}, {"id": f"model:{LEXICON}"}
NUMBER = {"kind": "json", "schema": {"type": "integer"}}
QUERY_SECONDS = 90.0
SURE = "confidence >= 0.8"


class Questions:
    """Asks the box through its API, as any program would."""

    def __init__(self, stage: Stage, client: Client, provider: Provider) -> None:
        self.stage = stage
        self.client = client
        self.provider = provider

    def play(self) -> None:
        """The whole act."""
        self.stage.say("Second act: durable questions, each of the six patterns once")
        for scene in (
            self.single_shot,
            self.verify,
            self.waterfall,
            self.retry,
            self.ensemble,
            self.nested,
            self.escalate_across_a_crash,
        ):
            scene()

    def ask(self, question: str, who: dict[str, str], **query: Any) -> tuple[Answer, list[Event]]:
        """Ask and wait; the answer, and every record of the way to it."""
        events: list[Event] = []
        body = {"question": question, "responders": [who], "klass": "reflex", **query}
        body.setdefault("dial", {"max_tokens": 24})
        return self.client.query(body, wait=QUERY_SECONDS, on_progress=events.append), events

    def check(self, what: str, ok: bool, answer: Answer, events: list[Event]) -> None:
        calls = sum(event.kind == "call" for event in events)
        seen = f"{answer.status}, {answer.answer!r:.60} after {calls} calls"
        self.stage.check(what, ok, seen + (f" ({answer.reason})" if answer.reason else ""))

    # ── the patterns ────────────────────────────────────────────────────────────────────────

    def single_shot(self) -> None:
        answer, events = self.ask("Name one colour of the sky.", CHATTER)
        ok = answer.status == "fulfilled" and bool(answer.answer)
        self.check("single_shot: a model is asked and answers", ok, answer, events)

    def verify(self) -> None:
        """Two models answer independently; where they disagree, arithmetic decides."""
        answer, events = self.ask(
            "How much is 17 + 25?",
            CHATTER,
            answer_shape=NUMBER,
            orchestration={
                "pattern": "verify",
                "verifier": [SMALL],
                "tiebreaker": [{"id": "sums"}],
            },
        )
        calls = [event.body["responder"]["id"] for event in events if event.kind == "call"]
        agreed = len(calls) == 2
        ok = answer.status == "fulfilled" and (agreed or (answer.answer == 42 and "sums" in calls))
        self.check("verify: agreement, or the tiebreaker's answer", ok, answer, events)

    def waterfall(self) -> None:
        """A regular expression first; a model only where it finds nothing."""
        stages = [
            {"name": "expression", "responders": [{"id": "order-number"}]},
            {"name": "small model", "responders": [SMALL], "accept_expression": SURE},
            {"name": "larger model", "responders": [CHATTER]},
        ]
        cascade: dict[str, Any] = {
            "orchestration": {"pattern": "waterfall", "stages": stages},
            "dial": {"max_tokens": 24, "logprobs": True},
        }
        text = "Please look after order AB-1234, it is late."
        cheap, events = self.ask(
            "Which order is it about?", SMALL, input={"inline": text}, **cascade
        )
        calls = sum(event.kind == "call" for event in events)
        ok = (cheap.status, cheap.answer, calls) == ("fulfilled", "AB-1234", 1)
        self.check("waterfall: what a regular expression finds asks no model", ok, cheap, events)
        text = "My parcel is late, please look after it."
        dear, events = self.ask(
            "Which order is it about?", SMALL, input={"inline": text}, **cascade
        )
        left = sum(event.kind == "learn" for event in events)
        ok = dear.status == "fulfilled" and left == 2 and bool(dear.answer)
        self.check("waterfall: a small model that is not sure, then the larger", ok, dear, events)

    def retry(self) -> None:
        """Again with another dial while the model's own token probabilities are low."""
        answer, events = self.ask(
            "Name the capital of France in one word.",
            CHATTER,
            dial={"max_tokens": 8, "temperature": 1.0, "logprobs": True},
            orchestration={
                "pattern": "retry_on_low_confidence",
                "expression": "confidence < 0.999",
                "max_attempts": 3,
                "adjustments": [{"dial": {"temperature": 0.2}}, {"dial": {"temperature": 0.0}}],
            },
        )
        sure = [
            event.body["confidence"]
            for event in events
            if event.kind == "do" and event.body["status"] == "ok"
        ]
        ok = answer.status in ("fulfilled", "degraded") and answer.confidence == max(sure)
        told = ", ".join(f"{confidence:.3f}" for confidence in sure)
        self.check(f"retry: the surest of {told}", ok, answer, events)

    def ensemble(self) -> None:
        """Three samples, what most of them say, and a program that checks it."""
        answer, events = self.ask(
            "How many legs does a cat have?",
            {"domain": "samples"},
            answer_shape=NUMBER,
            fold={"kind": "consensus"},
            dial={"max_tokens": 8, "temperature": 1.0},
            orchestration={"pattern": "ensemble_with_audit", "auditor": [{"id": "leg-auditor"}]},
        )
        approved = answer.status == "fulfilled" and answer.audit["state"] == "approved"
        rejected = answer.status == "rejected" and answer.answer is None
        ok = (approved or rejected) and sum(event.kind == "call" for event in events) == 4
        self.check("ensemble: the folded answer is audited by a program", ok, answer, events)

    def nested(self) -> None:
        """The answer of one query is the input of the next."""
        then = {
            "name": "check",
            "query": {
                "question": "How much is it?",
                "input": {"ref": "know.answer"},
                "responders": [{"id": "sums"}],
            },
        }
        answer, events = self.ask(
            "Which sum is asked for?",
            {"id": "sum-finder"},
            input={"inline": "Dear Sir, what is 6 * 7, please?"},
            triggers=[then],
        )
        (child,) = self.client.queries(parent=answer.id).queries
        for _event in self.client.events(child.id):
            pass  # to its end
        end = self.client.get(child.id).know
        ok = answer.answer == "6 * 7" and end is not None and end.answer == "42"
        what = f"nested: {answer.answer!r} begins the next query, which finds"
        self.check(what, ok, end or answer, events)

    # ── a person, and a crash ───────────────────────────────────────────────────────────────

    def escalate_across_a_crash(self) -> None:
        """A paid model, then a person; the core is killed while the person thinks."""
        say, before = self.stage.say, sum(self.provider.charged.values())
        model = {"name": "model", "responders": [{"id": "paid-model"}], "expression": "true"}
        person = {"name": "person", "responders": [{"kind": "actor", "did": PERSON}]}
        ticket = self.client.submit(
            {
                "question": "May this customer have a refund?",
                "input": {"inline": "The parcel came two days late."},
                "responders": [{"id": "paid-model"}],
                "side_effects": {"max_cost_usd": 1.0, "max_latency_secs": 600},
                "orchestration": {"pattern": "escalate", "tiers": [model, person]},
                "dial": {"max_tokens": 16},
            }
        )
        task = wait(lambda: self.client.inbox(PERSON).tasks, QUERY_SECONDS, "the person's task")[0]
        life, pid = self.stage.box.status()["core_incarnation"], self.stage.box.pid_of("core")
        say(f"the person is asked; kill -9 of the core, pid {pid}")
        kill(pid)
        wait(lambda: self.stage.box.status()["core_incarnation"] != life, 30, "a new core")
        (same,) = wait(lambda: self.client.inbox(PERSON).tasks, 30, "the task, after the crash")
        self.client.answer(same.id, PERSON, "Yes, as goodwill.", confidence=0.9)
        events = list(self.client.events(ticket.id))
        end = self.client.get(ticket.id).know
        assert end is not None
        ok = (end.status, end.answer, same.id) == ("fulfilled", "Yes, as goodwill.", task.id)
        self.check("escalate: the person's answer arrives after the crash", ok, end, events)
        paid = sum(self.provider.charged.values()) - before
        self.stage.check(
            "nothing is paid for twice",
            paid == 1 and max(self.provider.charged.values()) == 1,
            f"{paid} call charged, ${end.cost.settled:.3f} of $1 spent",
        )
