"""A desk that answers from memory, as the core's does, and can be told what happens next."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from covend.patterns.query.admit import InvalidQuery, admit
from covend.questions import (
    ActOnTask,
    CancelQuery,
    EndOf,
    ListQueries,
    ListResponders,
    ListTasks,
    PutResponder,
    RecordsOf,
    RemoveResponder,
    SettleCall,
    ShowQuery,
    ShowTask,
    SubmitQuery,
    refusal,
)
from covend.runtime import Actor, MailboxSpec, Promise

ANSWER = {
    "status": "fulfilled",
    "answer": "42",
    "confidence": 0.9,
    "folded": ["c-1"],
    "partial": [],
    "cost": {"settled": 0.01, "reserved": 0.0, "overrun": 0.0},
}


PAGE = 200
"""The most tasks of one answer, whatever is asked for: as the core's."""


class Woken:
    """Goes to the desk when a wait of one of its askers is over."""

    def __init__(self, promise: Promise) -> None:
        self.promise = promise


class Happen:
    """Tells the desk what happens to a query: one more record."""

    def __init__(self, id: str, kind: str, body: dict[str, Any]) -> None:
        self.id, self.kind, self.body = id, kind, body


class Spoil:
    """Tells the desk that the first record of a kind is damaged, which sets an open query aside."""

    def __init__(self, id: str, kind: str) -> None:
        self.id, self.kind = id, kind


class NewTask:
    """Tells the desk of a task that a person gets."""

    def __init__(self, **task: Any) -> None:
        self.task = task


class ScriptedDesk(Actor):
    """``desk`` of a core that keeps nothing. A question ``no`` is refused, ``now`` is answered.

    With ``instant`` every question is answered at once. ``past`` is the desk whose records a
    restarted core reads.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=1000, policy="reject")

    def __init__(self, past: ScriptedDesk | None = None) -> None:
        self.queries: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.asked_by: dict[str, str | None] = {}
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.tasks: dict[tuple[str, str], dict[str, Any]] = {}
        self.responders: dict[str, dict[str, Any]] = {}
        self.waiting: list[tuple[RecordsOf | EndOf | ListTasks, Promise]] = []
        self.seq = 0
        self.heard: list[object] = []
        self.instant = False
        if past is not None:
            self.queries, self.keys, self.records = past.queries, past.keys, past.records
            self.asked_by = past.asked_by
            self.tasks, self.seq = past.tasks, past.seq

    def on_receive(self, message: object) -> object:
        self.heard.append(message)
        match message:
            case Happen():
                return self.record(message.id, message.kind, message.body)
            case Spoil():
                self.spoil(message.id, message.kind)
            case NewTask():
                self.seq += 1
                task = {"seq": self.seq, **message.task}
                self.tasks[task["id"], task["did"]] = task
            case SubmitQuery():
                return self.submit(message)
            case ShowQuery():
                return self.queries.get(message.id) or refused(404, "no_such_query")
            case ListQueries():
                return self.page(message)
            case CancelQuery():
                return self.cancel(message)
            case SettleCall():
                return self.settled(message)
            case RecordsOf() | EndOf() if message.id not in self.records:
                return refused(404, "no_such_query")
            case RecordsOf() | EndOf() | ListTasks():
                return self.now_or_later(message)
            case ShowTask():
                return self.task(message.id, message.did) or refused(404, "no_such_task")
            case ActOnTask():
                return self.act(message)
            case ListResponders():
                return {"responders": list(self.responders.values())}
            case PutResponder():
                self.responders[message.responder["id"]] = message.responder
                return {"id": message.responder["id"]}
            case RemoveResponder():
                if self.responders.pop(message.id, None) is None:
                    return refused(404, "no_such_responder")
                return {"id": message.id}
            case Woken():
                return self.settle(message.promise)
            case _:
                pass
        self.settle()
        return None

    # ── queries ─────────────────────────────────────────────────────────────────────────────

    def submit(self, message: SubmitQuery) -> dict[str, Any]:
        try:
            admit(message.query, [], thread="q-0", now=clock(), seed=0)
        except InvalidQuery as error:
            return refused(422, "invalid_query", [dict(one) for one in error.errors])
        question = message.query["question"]
        if question == "no":
            fault = {"path": "$.responders[0].kind", "problem": "nobody is of this kind"}
            return refused(422, "invalid_query", [fault])
        id = self.keys.get(message.key or "")
        if id is None:
            id = f"q-{len(self.queries) + 1}"
            self.keys[message.key or id] = id
            self.queries[id] = {"id": id, "state": "open", "query": message.query,
                                "opened": clock(), "ended": None, "know": None, "calls": [],
                                "spent": {"settled": 0.0, "reserved": 0.0}}  # fmt: skip
            self.records[id] = []
            self.asked_by[id] = message.by
            self.record(id, "intend", {"query": message.query})
            if question == "now" or self.instant:
                self.record(id, "know", ANSWER)
        return {"id": id, "state": self.queries[id]["state"]}

    def record(self, id: str, kind: str, body: dict[str, Any]) -> int:
        self.seq += 1
        self.records[id].append(
            {"seq": self.seq, "id": f"r-{self.seq}", "thread": id, "kind": kind,
             "act": kind.upper(), "actor": "execution", "clock": clock(), "body": body,
             "parents": []}
        )  # fmt: skip
        if kind == "know":
            self.queries[id] |= {"state": "ended", "ended": clock(), "know": body}
        self.settle()
        return self.seq

    def spoil(self, id: str, kind: str) -> None:
        hit = next(one for one in self.records[id] if one["kind"] == kind)
        self.records[id].remove(hit)
        query = self.queries[id]
        query["damaged"] = [{"seq": hit["seq"], "problem": "its content is not what its id names"}]
        query |= {"intend": {"query": None}, "know": {"know": None}}.get(kind, {})
        if query["state"] == "open":
            query["set_aside"] = f"ValueError: its record {hit['seq']} is damaged"
            self.settle()

    def page(self, message: ListQueries) -> dict[str, Any]:
        found = [
            {"id": query["id"], "state": query["state"], "opened": query["opened"],
             "question": query["query"]["question"]}
            for query in reversed(self.queries.values())
            if message.state in (None, query["state"])
        ]  # fmt: skip
        rest = found[message.after : message.after + message.limit]
        after = message.after + len(rest)
        return {"queries": rest, "next": after if after < len(found) else None}

    def settled(self, message: SettleCall) -> dict[str, Any]:
        if message.call != "primary/0#1":
            return refused(409, "not_unclear")
        return {"id": message.id, "call": message.call, "how": message.how}

    def cancel(self, message: CancelQuery) -> dict[str, Any]:
        query = self.queries.get(message.id)
        if query is None:
            return refused(404, "no_such_query")
        if message.by not in (None, self.asked_by[message.id]):
            return refused(403, "not_your_query")
        if query["state"] == "open":
            cancelled = {"status": "cancelled", "code": "cancelled", "reason": message.reason}
            self.record(message.id, "know", cancelled)
        return query["know"]

    # ── people ──────────────────────────────────────────────────────────────────────────────

    def task(self, id: str, did: str | None) -> dict[str, Any] | None:
        shares = (task for task in self.tasks.values() if task["id"] == id)
        return next((task for task in shares if did in (None, task["did"])), None)

    def act(self, message: ActOnTask) -> dict[str, Any]:
        task = self.task(message.id, message.did)
        if task is None:
            return refused(404, "no_such_task")
        if task["state"] not in ("open", "accepted"):
            return refused(409, "task_closed")
        if message.act == "submit" and task["answer_shape"].get("kind") == "json":
            missing = [] if "verdict" in dict(message.value or {}) else ["verdict"]
            if missing:
                fault = {"path": "$.value.verdict", "problem": "it is needed"}
                return refused(422, "answer_shape_mismatch", [fault])
        if message.act == "decline" and set(task.get("promised_by", ())) - {message.did}:
            return refused(409, "others_asked")
        states = {"accept": "accepted", "decline": "declined", "submit": "submitted"}
        task["state"] = states[message.act]
        if message.act == "accept":
            task["promised_by"] = [message.did]
        self.settle()
        return task

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    def now_or_later(self, message: RecordsOf | EndOf | ListTasks) -> object:
        found, some = self.look(message)
        if some or message.wait <= 0:
            return found
        promise = self.ctx.later()
        self.waiting.append((message, promise))
        self.ctx.timer(f"wait {id(promise)}", message.wait, Woken(promise))
        return promise

    def look(self, message: RecordsOf | EndOf | ListTasks) -> tuple[dict[str, Any], bool]:
        if isinstance(message, RecordsOf):
            found = [entry for entry in self.records[message.id] if entry["seq"] > message.after]
            query = self.queries[message.id]
            ended = query["state"] == "ended"
            damaged = [one for one in query.get("damaged", ()) if one["seq"] > message.after]
            aside = query.get("set_aside") is not None
            told = {"records": found, "damaged": damaged, "ended": ended, "set_aside": aside}
            return told, bool(found) or ended or aside
        if isinstance(message, EndOf):
            query = self.queries[message.id]
            ended = query["state"] == "ended"
            told = {name: query.get(name) for name in ("id", "state", "know")}
            return told, ended
        tasks = [
            task
            for task in self.tasks.values()
            if message.did in (None, task["did"])
            and message.state in (None, task["state"])
            and task["seq"] > message.after
        ]
        limit = min(message.limit, PAGE)
        page = sorted(tasks, key=lambda task: task["seq"])[:limit]
        return {"tasks": page, "next": page[-1]["seq"] if len(page) == limit else None}, bool(page)

    def settle(self, over: Promise | None = None) -> None:
        still: list[tuple[RecordsOf | EndOf | ListTasks, Promise]] = []
        for message, promise in self.waiting:
            found, some = self.look(message)
            if some or promise is over:
                promise.reply(found)
            else:
                still.append((message, promise))
        self.waiting = still


def refused(status: int, code: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return refusal(status, code, f"refused: {code}", errors)


def clock() -> int:
    return time.time_ns() // 1000
