"""The ``ps`` actor of every process: its supervision tree as plain data."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from covend.protocol import PsQuery
from covend.runtime import Actor, ActorError, MailboxSpec
from covend.supervisors import ChildInfo, WhichChildren

ASK_SECONDS = 2.0


class Ps(Actor):
    """Answers ``PsQuery``: every actor below this process's top supervisor, else all its actors."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100, policy="reject")

    def __init__(self, top: str | None = None) -> None:
        self.top = top

    def on_receive(self, message: object) -> object:
        if isinstance(message, PsQuery):
            return {"node": self.ctx.system.node, "pid": os.getpid(), "tree": self.tree()}
        return None

    def tree(self) -> list[dict[str, Any]]:
        if self.top is None:
            return [
                entry(actor.name, "worker", mailbox=actor.waiting)
                for actor in self.ctx.system.actors()
            ]
        return self.children(self.top)

    def children(self, supervisor: str) -> list[dict[str, Any]]:
        try:
            found: list[ChildInfo] = self.ctx.ask(supervisor, WhichChildren(), timeout=ASK_SECONDS)
        except ActorError as error:
            return [entry(supervisor, "supervisor", state=f"unavailable: {error}")]
        return [
            entry(
                child.name,
                child.kind,
                pid=child.pid,
                state=child.state,
                restarts=child.restarts,
                mailbox=child.mailbox or 0,
                children=self.children(child.name) if child.kind == "supervisor" else [],
            )
            for child in found
        ]


def entry(
    name: str,
    kind: str,
    pid: int | None = None,
    state: str = "running",
    restarts: int = 0,
    mailbox: int = 0,
    children: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """One line of the tree, as ``covend ps`` reads it."""
    return {
        "name": name,
        "kind": kind,
        "pid": pid,
        "state": state,
        "restarts": restarts,
        "mailbox": mailbox,
        "children": children or [],
    }
