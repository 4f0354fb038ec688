"""What a run's records lead to outside of them: calls, withdrawals, news (P3, P14, P18).

Only ever done for records that are durable; done again after a crash, it changes nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from covend.actors.people import inbox
from covend.actors.responders.trust import outcomes
from covend.actors.runs.messages import (
    Dispatch,
    Happening,
    Learned,
    Notice,
    Withdraw,
    call_name,
)
from covend.actors.runs.quick import is_quick
from covend.patterns import people
from covend.patterns.state import K, call_id_of
from covend.patterns.step import Draft
from covend.runtime import Context


class Effects:
    """What one run does outside its records. In its execution's thread."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.by: str | None = None
        """The person who asked the query, if that is known."""
        self.asked: dict[str, dict[str, Any]] = {}
        """The body of every call, by its id."""
        self.delays: dict[str, float] = {}
        """How long the answers took, in seconds."""
        self.promises: dict[str, list[dict[str, Any]]] = {}
        """Each ``do`` by which a person promised an answer, by its call."""
        self.recorded: list[str] = []
        """The calls whose answers the courier need not keep any longer."""
        self.quick: deque[dict[str, Any]] = deque()
        """The bodies of the calls that the run is to answer itself."""

    def note(self, kind: str, body: dict[str, Any]) -> None:
        """Keep what K does not: how calls were put, and how long they took."""
        if kind == "intend":
            self.by = body.get("by")
        elif kind == "call":
            self.asked[call_id_of(body)] = body
        elif kind == "do" and body["status"] == "accepted":
            self.promises.setdefault(call_id_of(body), []).append(body)
        elif kind == "do" and "delay_secs" in body:
            self.delays.setdefault(call_id_of(body), float(body["delay_secs"]))

    def of(self, k: K, draft: Draft) -> None:
        """Do what a durable record asks for."""
        match draft.kind:
            case "call":
                if k.calls[call_id_of(draft.body)].status == "open":
                    self.dispatch(k, draft.body)
            case "learn":
                self.take_back(k, list(draft.body.get("closed", {})))
                for name, did in draft.body.get("delegate", {}).items():
                    self.notify(k, "delegated", name, (did,))
            case "know":
                closed = {name for body in k.noted("closed") for name in body["closed"]}
                over = [call.id for call in k.calls.values() if call.id not in closed]
                self.take_back(k, over)
                roles = {name: body["role"] for name, body in self.asked.items()}
                said = tuple(outcomes(k, roles, self.delays))
                self.ctx.tell("registry", Learned(k.thread, said))
            case _:
                pass

    def dispatch(self, k: K, body: dict[str, Any], again: bool = False) -> None:
        """Have a call carried out. A person is told once, by the herald's own account (P4)."""
        if body["responder"]["kind"] == "actor":
            if not again:
                self.notify(k, "assigned", call_id_of(body), (body["responder"]["did"],))
            return
        responder = k.responder(body["responder"]["id"])
        if is_quick(body, responder):
            self.quick.append(body)
            return
        order = Dispatch(
            thread=k.thread,
            call=body,
            responder=responder,
            klass=k.query.klass,
            policy=k.query.on_indeterminate,
            again=again,
            recorded=self.taken_over(),
        )
        self.ctx.tell("courier", order)

    def taken_over(self) -> tuple[str, ...]:
        """The calls whose answers are durable, each given out once, for the next ``Dispatch``."""
        calls, self.recorded = tuple(self.recorded), []
        return calls

    def take_back(self, k: K, names: list[str]) -> None:
        """Nobody waits for these calls any more (P14)."""
        calls: list[str] = []
        for name in names:
            call = k.calls[name]
            if call.answered:
                continue
            if call.kind == "actor":
                self.notify(k, "withdrawn", name, tuple(people.may_speak(k, call)))
            else:
                calls.append(call_name(k.thread, name))
        if calls:
            self.ctx.tell("courier", Withdraw(tuple(calls)))

    def notify(
        self,
        k: K,
        happening: Happening,
        name: str,
        dids: tuple[str, ...],
        ticks: tuple[int, ...] = (),
    ) -> None:
        """Have people told about a task; ``ticks`` are when its reminders were due (clocks)."""
        call = k.calls[name]
        notice = Notice(
            happening=happening,
            task=inbox.task_id(k.thread, name),
            dids=dids,
            question=k.query.question,
            due=call.deadline,
            asked=call.called,
            accepted=name in self.promises,
            ticks=ticks,
        )
        self.ctx.tell("desk", notice)
