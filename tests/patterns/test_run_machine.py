"""P20: whatever happens to a run, in whatever order, its invariants hold.

A run of a drawn query is played against a store that loses everything not yet appended when the
process is killed, and a world that answers early, late, twice, differently, or never. The
invariants that can be seen at this level, each named in ``check`` or ``finish``:

- one KNOW at most, nothing folded after it
- every acknowledged DO survives
- any prefix replays to identical bytes
- paid calls ≤ the undisturbed count, under the same idempotency keys; work that may have been done
  and is asked for again is paid once (since reducer 2)
- settled + reserved ≤ budget, after every single record, late answers included: they are billed and
  never folded; nothing is reserved of what an overrun has taken, and an attempt of its own limit
  keeps that (both since reducer 3)
- one terminal state per slot and attempt
- no CALL unauthorised (someone of the plan who is wanted there, has no part that rules it out, and
  is paid for)
- no zombies (every open run has an open call, and every open call its timer)
- a person has one task in a round, whatever names he has (since reducer 5)
- a TICK never early
- triggers exactly once
- no human task open after the end
- old reducers finish alike
- a CEL error never accepts
- arrival order never changes an order-free fold (the last test)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tools.golden.play import (
    START,
    Data,
    Play,
    answer,
    as_stored,
    ids,
    intend,
    llm,
    paid,
    person,
    query,
    state,
)

from covend.patterns import step
from covend.patterns.decision import Decision, Done
from covend.patterns.reducers import CURRENT, RULES
from covend.patterns.state import K, call_id_of, fold, nano
from covend.phylactery.canonical import canonical

THREAD = "q-machine"
PEOPLE = ("p", "q")
WORLD = [
    llm("a"),
    paid("b", 0.3),
    paid("c", 0.5),
    llm("d"),
    llm("d too", alias_of="d"),
    person("p", sla_secs=40, delegates=["did:x", "did:y"]),
    person("p too", did="did:p"),
]
"""Beside them, q, who may be away."""
NAMES = [*(who["id"] for who in WORLD), "q"]
anybody = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
twice = st.sampled_from([["p", "p too"], ["d", "d too"]])
some = st.one_of(anybody, anybody, anybody, twice)
"""Now and then one person or one model twice: by chance that is rare."""
conditions = st.sampled_from(["confidence < 0.7", "answer.unsure", "answer.x > 1"])
"""Each is true for some answers and false for others, and fails for most."""
values = st.sampled_from(
    [
        {"x": 1, "unsure": False},
        {"x": 1, "unsure": True},
        {"x": 2, "unsure": False},
        {"x": 2},
        {"unsure": False},
        "yes",
    ]
)
approved = st.sampled_from([{"approved": True}, {"approved": False}, "fine"])
agreed = st.sampled_from([{"agree": True}, {"agree": False}, None])
said = {"audit": approved, "judge": agreed}
"""What is answered in another role than that of giving an answer."""
confidences = st.sampled_from([None, 0.1, 0.5, 0.7, 0.9, 1.0])
secs = st.sampled_from([30, 60])
reducers = st.sampled_from(sorted(set(RULES) - {CURRENT})) | st.just(CURRENT)
"""That of new runs half of the time: it is what most runs have."""


@st.composite
def patterns(draw: st.DrawFn) -> Data:
    """Any of the six."""

    def wants() -> list[Data]:
        return ids(*draw(some))

    def named(expression: str, count: int) -> list[Data]:
        return [
            {
                "name": f"n{i}",
                "responders": wants(),
                expression: draw(conditions),
                "top_k": draw(st.integers(1, 2)),
                "timeout_secs": draw(secs),
            }
            for i in range(count)
        ]

    match draw(st.integers(0, 5)):
        case 0:
            return {"pattern": "single_shot"}
        case 1:
            judge = {"judge": {"responders": wants()}} if draw(st.booleans()) else {}
            return {"pattern": "verify", "verifier": wants(), "tiebreaker": wants(), **judge}
        case 2:
            return {"pattern": "waterfall", "stages": named("accept_expression", 3)}
        case 3:
            change: Data = {"dial": {"temperature": 0.5}, "responders": wants()}
            if draw(st.booleans()):
                change["max_cost_usd"] = draw(st.sampled_from([0.3, 0.6, 1.0]))
            return {
                "pattern": "retry_on_low_confidence",
                "expression": draw(conditions),
                "max_attempts": draw(st.integers(1, 3)),
                "max_transport_errors": draw(st.integers(0, 2)),
                "adjustments": [change],
            }
        case 4:
            return {"pattern": "escalate", "tiers": named("expression", 3)}
        case _:
            return {
                "pattern": "ensemble_with_audit",
                "auditor": wants(),
                "backup_auditor": wants(),
                "audit_timeout_secs": draw(secs),
            }


@st.composite
def plans(draw: st.DrawFn) -> Data:
    """The intend of a run that may end in any way, with next queries."""
    trigger = {"name": "next", "query": query("a"), "when": "know.status != 'error'"}
    odd = {"name": "odd", "query": query("a"), "when": "know.answer.x == 1"}
    asked = draw(some)
    body = query(
        *asked,
        pattern=draw(patterns()),
        fold={"kind": draw(st.sampled_from(["best_of", "consensus", "majority"]))},
        triggers=[trigger, odd],
    )
    quorum = draw(st.sampled_from([None, None, 1, 2]))
    if quorum is not None:
        body["min_quorum"] = quorum
    more: Data = {"seed": draw(st.integers(0, 9)), "reducer": draw(reducers)}
    budget = draw(st.sampled_from([None, 0.0, 0.4, 0.9, 2.0]))
    if budget is not None:
        more["budget"] = budget
    world = [*WORLD, person("q", available=draw(st.booleans()))]
    return intend(body, *world, secs=draw(st.sampled_from([50.0, 4000.0])), **more)


@dataclass
class Store:
    """What survives: appended is durable, in order; ``lines`` are its bytes."""

    entries: list[step.Entry] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def append(self, kind: str, body: Data, now: int) -> None:
        self.lines.append(line(kind, body))
        self.entries.append(step.Entry(kind, as_stored(body), now))

    def timers(self) -> dict[str, int]:
        """The projection: what intend, call and learn set, less what fired; an end clears all."""
        due: dict[str, int] = {}
        for entry in self.entries:
            for timer in entry.body.get("timers", ()):
                due[timer["name"]] = timer["due"]
            if entry.kind == "tick":
                due.pop(entry.body["name"], None)
            if entry.kind == "know":
                due.clear()
        return due


@dataclass
class World:
    """Who answers. The same idempotency key is paid once, however often it is sent (P4).

    ``replies`` are the work that was done, by its key; ``failures`` what else came of a call.
    """

    sent: dict[str, Data] = field(default_factory=dict)
    replies: dict[str, Data] = field(default_factory=dict)
    failures: dict[str, Data] = field(default_factory=dict)

    def dispatch(self, call: Data) -> None:
        self.sent.setdefault(call_id_of(call), call)

    def reply(self, call: Data, body: Data) -> Data:
        """What the provider says, again whenever it is asked again."""
        if call_id_of(call) in self.failures:
            return self.failures[call_id_of(call)]
        return self.replies.setdefault(call["key"], body)

    def fail(self, call: Data, body: Data) -> Data:
        """A failure, unless the work was done: then that is the answer, if any gets through.

        Who is busy or away says nothing of the work that was asked for under this key before.
        """
        done = call["key"] in self.replies
        if body["transport"] and (done or not call["key"].endswith(f"/{call_id_of(call)}")):
            body = {**body, "indeterminate": True}
        if done and "indeterminate" not in body:
            return self.reply(call, body)
        return self.failures.setdefault(call_id_of(call), body)


Gap = st.sampled_from([None, None, None, "before the DO", "after the DO", "after what follows"])


def doubtful(k: K) -> Decision:
    """What a later reducer decides; no run of this machine may ever see it."""
    return Done("error", code="fold_failed")


class Run(RuleBasedStateMachine):
    """One run in a hostile world."""

    @initialize(plan=plans())
    def begin(self, plan: Data) -> None:
        self.now = START
        self.store, self.world = Store(), World()
        self.acknowledged: set[str] = set()
        self.ends: dict[str, str] = {}
        self.k: K | None = None
        self.upgraded = mock.patch.dict(step.SELECTS)
        self.upgraded.start()
        self.store.append("intend", plan, self.now)
        self.recover()

    # The process

    def recover(self) -> K:
        """Start again: replay, write what is missing, send again what was not answered."""
        if self.k is None:
            replayed = step.replay(THREAD, self.store.entries)
            self.write(replayed.missing)
            self.k = replayed.k
            self.dispatch()
        return self.k

    def write(self, drafts: list[step.Draft]) -> None:
        for draft in drafts:
            self.store.append(draft.kind, draft.body, self.now)

    def dispatch(self) -> None:
        assert self.k is not None
        for entry in self.store.entries:
            if entry.kind == "call" and self.k.calls[call_id_of(entry.body)].status == "open":
                self.world.dispatch(entry.body)

    def input(self, kind: str, body: Data, gap: str | None) -> list[step.Draft] | None:
        """One step, killed at a gap or not; the drafts it led to where it was not."""
        k = self.recover()
        if gap == "before the DO":
            self.k = None
            return None
        self.store.append(kind, body, self.now)
        self.acknowledged.add(line(kind, body))
        if gap == "after the DO":
            self.k = None
            return None
        self.k, drafts = step.take(k, self.store.entries[-1])
        self.write(drafts)
        if gap == "after what follows":
            self.k = None
            return None
        self.dispatch()
        return drafts

    # What may happen

    def drawn(self, data: st.DataObject) -> Data:
        """Some call that was sent: mostly one that is waited for, now and then any."""
        k = self.recover()
        sent = list(self.world.sent.values())
        waited = [call for call in sent if k.calls[call_id_of(call)].status == "open"]
        return data.draw(st.sampled_from(waited * 4 + sent))

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data(), confidence=confidences, cost=st.sampled_from([0, 0.2, 0.9]), gap=Gap)
    def deliver(
        self, data: st.DataObject, confidence: float | None, cost: float, gap: str | None
    ) -> None:
        """An answer, in any order, late or twice; the same key gives the same answer."""
        call = self.drawn(data)
        value = data.draw(said.get(call["role"], values))
        body = self.world.reply(call, answer(value, confidence=confidence, cost=cost))
        self.say(call, body, gap)

    @precondition(lambda self: self.unwaited())
    @rule(data=st.data(), cost=st.sampled_from([0, 0.2, 0.9]), gap=Gap)
    def deliver_late(self, data: st.DataObject, cost: float, gap: str | None) -> None:
        """An answer that nobody waits for any more; it is billed, and nothing follows from it."""
        call = data.draw(st.sampled_from(self.unwaited()))
        before = self.recover()
        body = self.world.reply(call, answer(data.draw(values), cost=cost))
        drafts = self.say(call, body, gap)
        after = self.recover().calls[call_id_of(call)]
        if gap != "before the DO":
            assert after.answered
            assert call_id_of(call) in self.recover().late
            assert after.response is None, "late is never folded"
        if before.ended is not None:
            assert not drafts, "nothing follows the end"
            assert self.recover().ended == before.ended

    def unwaited(self) -> list[Data]:
        """The calls that were sent and not answered, and that nobody waits for."""
        calls = {} if self.k is None else self.k.calls
        return [
            call
            for name, call in self.world.sent.items()
            if name in calls and calls[name].status != "open" and not calls[name].answered
        ]

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data(), value=values, gap=Gap)
    def contradict(self, data: st.DataObject, value: Any, gap: str | None) -> None:
        """Another answer to the same call."""
        self.say(self.drawn(data), answer(value, cost=0.2), gap)

    @precondition(lambda self: self.world.sent)
    @rule(
        data=st.data(),
        status=st.sampled_from(["error", "invalid", "declined", "timeout"]),
        transport=st.booleans(),
        gap=Gap,
    )
    def fail(self, data: st.DataObject, status: str, transport: bool, gap: str | None) -> None:
        """No answer, be it for want of a connection."""
        call = self.drawn(data)
        body = {"status": status, "problem": status, "transport": transport and status == "error"}
        self.say(call, self.world.fail(call, body), gap)

    @precondition(lambda self: self.world.sent)
    @rule(data=st.data(), done=st.booleans(), cost=st.sampled_from([0.2, 0.9]), gap=Gap)
    def lose(self, data: st.DataObject, done: bool, cost: float, gap: str | None) -> None:
        """The connection breaks when the work was done, or was not: nobody knows (P4)."""
        call = self.drawn(data)
        if done:
            value = data.draw(said.get(call["role"], values))
            self.world.reply(call, answer(value, cost=cost))
        body = {"status": "error", "problem": "reset", "transport": True, "indeterminate": True}
        self.say(call, self.world.fail(call, body), gap)

    @precondition(lambda self: any(c["responder"]["did"] for c in self.world.sent.values()))
    @rule(data=st.data(), eta=st.sampled_from([-5, 10, 45, 1000]), gap=Gap)
    def accept(self, data: st.DataObject, eta: int, gap: str | None) -> None:
        """A person takes it on, until then."""
        self.recover()
        asked = [call for call in self.world.sent.values() if call["responder"]["did"]]
        call = data.draw(st.sampled_from(asked))
        self.say(call, {"status": "accepted", "eta": self.now + eta * 1_000_000}, gap)

    def say(self, call: Data, body: Data, gap: str | None) -> list[step.Draft] | None:
        return self.input("do", {"slot": call["slot"], "attempt": call["attempt"], **body}, gap)

    @rule(delay=st.sampled_from([0, 0, 0, 0, 3, 100]), gap=Gap)
    def tick(self, delay: int, gap: str | None) -> None:
        """The next timer fires, perhaps late."""
        self.recover()
        due = self.store.timers()
        if due:
            name = min(due, key=lambda each: (due[each], each))
            self.now = max(self.now, due[name] + delay * 1_000_000)
            self.input("tick", {"name": name}, gap)

    @rule(name=st.sampled_from(["end", "deadline:primary/0#1", "delegate:primary/0#1", "?"]))
    def tick_early(self, name: str) -> None:
        """A timer fires that is not due: nothing may follow (invariant: a TICK never early)."""
        self.recover()
        if self.k is not None and all(due > self.now for due in self.store.timers().values()):
            after, drafts = step.take(self.k, step.Entry("tick", {"name": name}, self.now))
            assert drafts == []
            assert after.calls == self.k.calls

    @rule(gap=Gap, sure=st.integers(0, 9))
    def cancel(self, gap: str | None, sure: int) -> None:
        """Now and then: a run that is always cancelled shows nothing else."""
        if sure == 0:
            self.input("cancel", {"reason": "enough"}, gap)

    @rule()
    def crash(self) -> None:
        self.k = None

    @rule()
    def upgrade(self) -> None:
        """A new covend with another reducer beside the old one; the run is parked meanwhile."""
        step.SELECTS[CURRENT + 1] = dict.fromkeys(step.SELECTS[1], doubtful)
        self.k = None

    # What must hold

    @invariant()
    def check(self) -> None:
        """After every step, of what is durable."""
        if not hasattr(self, "store"):
            return
        k = self.recover()
        assert step.advance(k) == (k, []), "what follows is written: who has just begun waits"
        kinds = [entry.kind for entry in self.store.entries]
        assert kinds.count("know") <= 1, "one KNOW at most"
        if "know" in kinds:
            after = kinds[kinds.index("know") + 1 :]
            assert not {"call", "learn", "know"} & set(after), "nothing is folded after the end"
            assert not [c for c in k.calls.values() if c.status == "open"], "no task open after it"
        else:
            self.check_alive(k)
        for name, call in k.calls.items():
            if call.status != "open":
                assert self.ends.setdefault(name, call.status) == call.status, "one terminal state"
        assert self.acknowledged <= set(self.store.lines), "every acknowledged input survives"
        for name in k.late:
            assert k.calls[name].response is None, "late is never folded"
            assert name not in (k.ended or {"folded": []})["folded"]
        assert k.reserved == sum(call.reserved for call in k.calls.values())
        assert k.settled == sum(call.settled for call in k.calls.values()), "late ones are billed"
        names = [e.body["trigger"] for e in self.store.entries if e.kind == "trigger"]
        assert len(names) == len(set(names)), "triggers exactly once"

    def check_alive(self, k: K) -> None:
        """No zombies: whatever is waited for has an end."""
        due = self.store.timers()
        waiting = [call for call in k.calls.values() if call.status == "open"]
        assert waiting, "an open run waits for somebody"
        for call in waiting:
            assert due[f"deadline:{call.id}"] == call.deadline, "each open call has its timer"
            assert k.now < call.deadline <= k.plan.ends
            if call.delegate_due is not None:
                name = f"delegate:{call.id}"
                assert due[name] == call.delegate_due, "each delegate to be asked has his timer"
                assert call.delegate_due < call.deadline, "and time to answer"

    def teardown(self) -> None:
        if hasattr(self, "store"):
            try:
                self.finish()
            finally:
                self.upgraded.stop()

    def finish(self) -> None:
        """Let time pass until the end, then judge the whole thread."""
        for _ in range(200):
            self.recover()
            if not self.store.timers():
                break
            self.tick(0, None)
        k = self.recover()
        assert k.ended is not None, "no zombies: timers alone end every run"
        for call in self.unwaited():
            self.say(call, self.world.reply(call, answer("late", cost=0.2)), None)
        k = self.recover()
        owed = sum(call.reserved for call in k.calls.values() if call.indeterminate)
        never = sum(call.reserved for call in k.calls.values() if not call.answered)
        assert k.reserved == owed + never, "what was answered is settled, be it late"
        entries = self.store.entries
        self.check_prefixes(entries)
        lines, called = undisturbed(entries)
        assert lines == self.store.lines, "killed or not, the same bytes"
        assert len({call_id_of(call) for call in called}) == len(called)
        keys = {call["key"] for call in called}
        assert {c["key"] for c in self.world.sent.values()} <= keys, "≤ the undisturbed count"
        assert self.world.replies.keys() <= keys, "≤ the undisturbed count"
        if k.plan.reducer > 1:
            slots = [key.rpartition("#")[0] for key in self.world.replies]
            assert len(set(slots)) == len(slots), "the same work is paid once"
        self.check_accepted(k)

    def check_prefixes(self, entries: list[step.Entry]) -> None:
        """Any prefix replays; money and authority hold after every single record."""
        wanted = {who["id"]: who for who in entries[0].body["responders"]}
        k: K | None = None
        for index, entry in enumerate(entries):
            missing = step.replay(THREAD, entries[: index + 1]).missing
            follows = self.store.lines[index + 1 : index + 1 + len(missing)]
            assert [line(d.kind, d.body) for d in missing] == follows, "any prefix replays"
            before = k
            k = (
                step.begin(THREAD, entry.body, entry.clock)
                if k is None
                else fold(k, entry.kind, entry.body, entry.clock)
            )
            if k.plan.budget is not None:
                assert k.settled + k.reserved <= nano(k.plan.budget), "never above the budget"
                assert k.settled >= 0
                assert k.reserved >= 0
            if entry.kind == "call":
                assert before is not None
                assert entry.body["responder"]["id"] in wanted, "no CALL unauthorised"
                assert entry.body["responder"]["id"] in allowed(before, entry.body["slot"])
                cost = wanted[entry.body["responder"]["id"]].get("cost", {}).get("per_call", 0)
                assert entry.body["reserved"] == cost
                if k.plan.reducer > 2:
                    check_money(before, k, entry.body["slot"])
                if k.rules.asked_once:
                    check_asked_once(before, entry.body)
                if k.rules.one_model_each:
                    check_one_model(before, entry.body)

    def check_accepted(self, k: K) -> None:
        """A CEL error never accepts: what is fulfilled met its condition, plainly."""
        spec, end = k.query.orchestration, k.ended or {}
        if end["status"] != "fulfilled":
            return
        tag = str(spec.__struct_config__.tag)
        if tag == "waterfall":
            stage = next(each for each in spec.stages if each.name == end["stage"])  # type: ignore[union-attr]
            assert meets(stage.accept_expression, end) is True
        elif tag == "retry_on_low_confidence":
            assert meets(spec.expression, end) is False  # type: ignore[union-attr]
        elif tag == "escalate":
            tier = next(each for each in spec.tiers if each.name == end["tier"])  # type: ignore[union-attr]
            assert meets(tier.expression, end) is False


def check_money(before: K, after: K, slot: str) -> None:
    """A call takes no more than is left: of the run, and of an attempt with a limit of its own."""
    left = before.left()
    taken = after.reserved - before.reserved
    assert left is None or taken <= left, "an overrun is not spent again"
    name, _, index = slot.partition("/")[0].partition(":")
    if name == "attempt" and index != "0":
        limit = after.query.orchestration.adjustments[0].max_cost_usd  # type: ignore[union-attr]
        calls = [c for c in before.calls.values() if c.round == f"{name}:{index}"]
        spent = sum(c.settled + c.reserved for c in calls)
        if after.plan.reducer > 3:
            spent += sum(c.overrun for c in calls)
        room = None if limit is None else max(0, nano(limit) - spent)
        assert room is None or taken <= room, "an attempt keeps its own limit"


def check_asked_once(before: K, body: Data) -> None:
    """Nobody gets a second task in a round, but for another attempt at the same."""
    name, did = body["slot"].partition("/")[0], body["responder"]["did"]
    others = [call for call in before.round(name) if call.slot != body["slot"]]
    tasks = [before.responder(call.responder).did for call in others if call.kind == "actor"]
    assert did is None or did not in tasks, "a person has one task in a round"


def check_one_model(before: K, body: Data) -> None:
    """No model has two slots of a round, nor two parts that two responders must have."""
    name = body["slot"].partition("/")[0]
    kinds = {name, *RULED_OUT.get(name, ())}
    others = [c for c in before.calls.values() if c.round in kinds and c.slot != body["slot"]]
    asked = [before.responder(c.responder) for c in others]
    models = {one.alias_of or one.id for one in asked}
    this = before.responder(body["responder"]["id"])
    assert (this.alias_of or this.id) not in models, "a model has one part"


def line(kind: str, body: Data) -> str:
    """A record's bytes whatever its clock: what follows from an input is written when it can be."""
    return canonical([kind, body]).decode()


def undisturbed(entries: list[step.Entry]) -> tuple[list[str], list[Data]]:
    """The lines of a run that was never killed and got the same inputs, and the calls it sent."""
    lines: list[str] = []
    called: list[Data] = []
    k: K | None = None
    for entry in entries:
        if entry.kind not in step.INPUTS:
            continue
        k, drafts = step.take(k, entry) if k else step.start(THREAD, entry.body, entry.clock)
        lines += [line(entry.kind, entry.body), *(line(d.kind, d.body) for d in drafts)]
        called += [draft.body for draft in drafts if draft.kind == "call"]
    return lines, called


def meets(expression: str, end: Data) -> bool | None:
    """The three conditions of this file in plain Python; None where they fail."""
    given, sure = end["answer"], end["confidence"]
    match expression:
        case "confidence < 0.7":
            return None if sure is None else sure < 0.7
        case "answer.unsure":
            return given.get("unsure") if isinstance(given, dict) else None
        case _:
            return given["x"] > 1 if isinstance(given, dict) and "x" in given else None


RULED_OUT = {
    "verifier": {"primary"},
    "tiebreaker": {"primary", "verifier"},
    "audit": {"primary"},
    "backup": {"primary", "audit"},
}
"""Whoever was asked in one of these rounds is not asked in that one (rules §6)."""


def allowed(k: K, slot: str) -> set[str]:
    """Whom the query wants in that slot, and who has no part in it that rules this one out."""
    spec, name = k.query.orchestration, slot.partition("/")[0]
    kind, _, index = name.partition(":")
    wants: dict[str, Callable[[], Any]] = {
        "primary": lambda: k.query.responders,
        "verifier": lambda: spec.verifier,  # type: ignore[union-attr]
        "tiebreaker": lambda: spec.tiebreaker,  # type: ignore[union-attr]
        "judge": lambda: spec.judge.responders,  # type: ignore[union-attr]
        "stage": lambda: spec.stages[int(index)].responders,  # type: ignore[union-attr]
        "tier": lambda: spec.tiers[int(index)].responders,  # type: ignore[union-attr]
        "attempt": lambda: (*k.query.responders, *spec.adjustments[0].responders),  # type: ignore[union-attr]
        "audit": lambda: spec.auditor,  # type: ignore[union-attr]
        "backup": lambda: spec.backup_auditor,  # type: ignore[union-attr]
    }
    taken = {c.responder for c in k.calls.values() if c.round in RULED_OUT.get(kind, ())}
    return {want.id for want in wants[kind]()} - taken


PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

TestRun = Run.TestCase
TestRun.settings = settings(
    max_examples=300,
    stateful_step_count=20,
    deadline=None,
    phases=PHASES,
    suppress_health_check=CHECKS,
)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
class TestManyRuns(Run.TestCase):  # type: ignore[name-defined,misc]
    """The same, at length (``make chaos``)."""

    settings = settings(
        max_examples=5000,
        stateful_step_count=40,
        deadline=None,
        derandomize=False,
        phases=PHASES,
        suppress_health_check=CHECKS,
    )


folds = st.sampled_from(["best_of", "consensus", "majority", "ensemble_weighted", "merge"])


@given(
    kind=folds,
    said=st.lists(st.tuples(values, confidences), min_size=3, max_size=3),
    order=st.permutations(range(3)),
)
@settings(max_examples=100)
def test_arrival_order_never_changes_an_order_free_fold(
    kind: str, said: list[tuple[Any, Any]], order: list[int]
) -> None:
    """P17, P20: with nobody left out, whoever is first."""
    body = intend(query("a", "b", "d", fold={"kind": kind}), llm("a"), llm("b"), llm("d"))

    def played(slots: list[int]) -> Data:
        play = Play(body)
        for slot in slots:
            value, confidence = said[slot]
            play.reply(f"primary/{slot}", value, confidence=confidence)
        assert state(play) == play.k
        return play.end

    assert played(order) == played([0, 1, 2])
