"""A run played by script: responders that answer as told, a virtual clock, no store, no actor.

``Play(intend(query("a"), llm("a"))).reply("primary/0", "yes").end`` reads as a story. Every input
goes through ``step.take``, and every record is kept as a store would hold it, so that any story can
be replayed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Self, cast

from covend.patterns import step
from covend.patterns.state import INPUTS, SECOND, K, call_id_of
from covend.phylactery.canonical import canonical, parse

Data = dict[str, Any]

START = 1_780_000_000_000_000
"""The clock at which every play begins."""


def llm(name: str, **more: Any) -> Data:
    """A model; a predicate finds it by its id."""
    return {"id": name, "kind": "llm", "model": name, "trust": 0.9, "seen": START, **more}


def paid(name: str, dollars: float, **more: Any) -> Data:
    """A model whose every call costs so much."""
    return llm(name, cost={"per_call": dollars}, **more)


def person(name: str, **more: Any) -> Data:
    """A person, who usually answers within a second."""
    who = {"id": name, "kind": "actor", "did": f"did:{name}", "trust": 0.9, "seen": START}
    return {**who, "typical_delay_secs": 1.0, **more}


def ids(*names: str) -> list[Data]:
    """The wants that exactly these responders meet."""
    return [{"id": name} for name in names]


def query(*asked: str, pattern: Data | None = None, **members: Any) -> Data:
    """A query to responders by name, all of them at once; other members go in as they are."""
    return {
        "question": "Is it so?",
        "responders": ids(*asked),
        "answer_shape": {"kind": "json"},
        "relevance": {"threshold": 0.0, "top_k": max(1, len(asked))},
        "orchestration": pattern or {"pattern": "single_shot"},
        **members,
    }


def intend(body: Data, *responders: Data, secs: float = 3600.0, **plan: Any) -> Data:
    """The body of an ``intend`` record for a run of at most so many seconds."""
    ends = START + round(secs * SECOND)
    return {
        "query": body,
        "responders": list(responders),
        "plan": "0" * 64,
        "reducer": 1,
        "seed": 7,
        "ends": ends,
        "timers": [{"name": "end", "due": ends}],
        **plan,
    }


def answer(value: Any, **more: Any) -> Data:
    """What a ``do`` record says of a valid answer, beside its slot and attempt."""
    digest = hashlib.sha256(canonical(value)).hexdigest()
    return {"status": "ok", "value": value, "hash": digest, "cost": 0, **more}


class Play:
    """One run, its records so far, and its K; what happens returns the play itself."""

    def __init__(self, body: Data, *, thread: str = "q-play") -> None:
        self.thread = thread
        self.now = START
        self.records = [step.Entry("intend", as_stored(body), self.now)]
        self.k, self.drafts = step.start(thread, self.records[0].body, self.now)
        self._keep()

    # What happens

    def do(self, slot: str, body: Data) -> Self:
        """Something is said to the last attempt of a slot, whatever became of it."""
        attempts = [call.attempt for call in self.k.calls.values() if call.slot == slot]
        assert attempts, f"{slot} was never asked; open are {self.open}"
        return self.take("do", {"slot": slot, "attempt": max(attempts), **body})

    def reply(self, slot: str, value: Any, **more: Any) -> Self:
        """A valid answer."""
        return self.do(slot, answer(value, **more))

    def fail(self, slot: str, status: str = "error", **more: Any) -> Self:
        """Anything but a valid answer."""
        return self.do(slot, {"status": status, "problem": f"is {status}", **more})

    def lose(self, slot: str) -> Self:
        """The transport fails."""
        return self.fail(slot, transport=True)

    def accept(self, slot: str, *, eta: float) -> Self:
        """A person accepts, with an eta in seconds from now."""
        return self.do(slot, {"status": "accepted", "eta": self.now + round(eta * SECOND)})

    def passes(self, secs: float, timer: str = "end") -> Self:
        """Time passes, and a timer fires."""
        self.now += round(secs * SECOND)
        return self.take("tick", {"name": timer})

    def cancel(self) -> Self:
        """The one who asked does not want it any more."""
        return self.take("cancel", {"reason": "no longer wanted"})

    def take(self, kind: str, body: Data) -> Self:
        """Any input."""
        self.records.append(step.Entry(kind, as_stored(body), self.now))
        self.k, self.drafts = step.take(self.k, self.records[-1])
        self._keep()
        return self

    def _keep(self) -> None:
        for draft in self.drafts:
            self.records.append(step.Entry(draft.kind, as_stored(draft.body), self.now))

    # What can be seen

    @property
    def end(self) -> Data:
        """The body of the ``know`` record; fails where the run has not ended."""
        assert self.k.ended is not None, f"still open: {self.open}"
        return self.k.ended

    @property
    def open(self) -> list[str]:
        """The slots whose calls are open."""
        return [call.slot for call in self.k.calls.values() if call.status == "open"]

    @property
    def asked(self) -> list[str]:
        """The ids of all calls, in the order in which they were made."""
        return list(self.k.calls)

    def bodies(self, kind: str) -> list[Data]:
        """The bodies of all records of a kind."""
        return [entry.body for entry in self.records if entry.kind == kind]

    def called(self, name: str) -> Data:
        """The body of the call record with that id."""
        found = {call_id_of(body): body for body in self.bodies("call")}
        return found[name]

    def lines(self) -> list[str]:
        """The thread as canonical lines."""
        return [written(entry) for entry in self.records]


def as_stored(body: Data) -> Data:
    """A body as it is read back from a store."""
    return cast("Data", parse(canonical(body).decode()))


def written(entry: step.Entry) -> str:
    """One record as a canonical line."""
    return canonical({"kind": entry.kind, "clock": entry.clock, "body": entry.body}).decode()


def read(lines: list[str]) -> list[step.Entry]:
    """The thread that was written as lines."""
    records = [json.loads(line) for line in lines]
    return [step.Entry(record["kind"], record["body"], record["clock"]) for record in records]


def retold(play: Play, reducer: int) -> Play:
    """A run of that reducer to which the same happened at the same times."""
    begun, *inputs = [entry for entry in play.records if entry.kind in INPUTS]
    again = Play({**begun.body, "reducer": reducer}, thread=play.thread)
    for entry in inputs:
        again.now = entry.clock
        again.take(entry.kind, entry.body)
    return again


def state(play: Play) -> K:
    """The K that replaying the play's records gives; fails where anything was missing."""
    replayed = step.replay(play.thread, play.records)
    assert replayed.missing == []
    return replayed.k
