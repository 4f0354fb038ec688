"""A whole box to strike at, with what these tests ask it and do to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor

from tools.chaos.box import Box
from tools.chaos.clients import Outcome, Plan, ask

from covend.protocol import EventsQuery, JobQuery, StatusQuery, Step, SubmitJob
from covend.runtime import ActorError
from covend.runtime.wire import Node
from covend.testing import eventually

LIVELY = {
    "whim": {"kappa": 1.0, "think": 0.1, "linger": 0.3, "inertia": {"titan": 0.1, "kinetic": 0.1}},
    "watchdog": {"health_seconds": 0.5, "stall_seconds": 30.0, "quota_seconds": 30.0},
}
"""Swaps of fractions of a second, and a watchdog that has patience with a busy machine."""


class Live(Box):
    """A running box, asked over its own wire as `covend status` asks it."""

    def post(self, body, headers=None):
        """Status, headers and body of one chat request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def wait(self):
        """Collects the root's exit status, once it has ended by other means than ``stop``."""
        return self._process.wait(30)

    def ask(self, message, address="console@core", seconds=10.0):
        with Node.client(self.run_dir) as client:
            return client.ask(address, message, timeout=seconds)

    def desk(self, message, seconds=40.0):
        """The desk's answer; asked again while the core is away."""

        def once():
            try:
                return self.ask(message, "desk@core", 5.0)
            except ActorError:
                return None

        answer = eventually(once, seconds, "the desk answers")
        assert "refused" not in answer, answer
        return answer

    def status(self):
        """The box's state; asked again while the core is away."""

        def once():
            try:
                status = self.ask(StatusQuery(), seconds=3.0)
            except ActorError:
                return None
            return status if status["covens"] else None

        return eventually(once, 30, "the core answers")

    def coven(self, name):
        return next(coven for coven in self.status()["covens"] if coven["name"] == name)

    def open(self):
        return [coven["name"] for coven in self.status()["covens"] if coven["state"] == "open"]

    def until_open(self, *names, seconds=30.0):
        """Waits until exactly these covens are open and nothing is under way."""
        eventually(
            lambda: sorted(self.open()) == sorted(names) and not self.status()["transition"],
            seconds,
            f"exactly {names} open",
        )

    def until_phase(self, *phases, seconds=30.0):
        """Waits until the transition under way is in one of these phases; returns which."""
        with Node.client(self.run_dir) as client:

            def phase():
                status = client.ask("console@core", StatusQuery(), timeout=5.0)
                found = (status["transition"] or {}).get("phase")
                return found if found in phases else None

            return eventually(phase, seconds, f"a transition in {phases}")

    def events(self, kind, after=0):
        """The events of a kind that this core has seen."""
        found = self.ask(EventsQuery(after=after, limit=5000))["events"]
        return [event for event in found if event["kind"] == kind]

    def alerts(self):
        return [alert["text"] for alert in self.status()["alerts"]]

    def until_alert(self, text, seconds=30.0):
        eventually(
            lambda: any(text in alert for alert in self.alerts()), seconds, f"alert {text!r}"
        )

    # ── jobs ────────────────────────────────────────────────────────────────────────────────

    def submit(self, model, steps, tokens=20):
        """Queues a ghoul job of so many chat calls, the n-th asking for ``tokens + n`` tokens."""
        message = {"role": "user", "content": "work"}
        calls = [
            Step(
                path="/v1/chat/completions",
                body={"model": model, "messages": [message], "max_tokens": tokens + number},
            )
            for number in range(steps)
        ]
        return self.ask(SubmitJob(capability=model, steps=calls))

    def job(self, name):
        def once():
            try:
                return self.ask(JobQuery(id=name), seconds=3.0)
            except ActorError:
                return None  # the core is away

        return eventually(once, 30, "the broker answers")

    def until_job(self, name, condition, what, seconds=30.0):
        def holds():
            job = self.job(name)
            return job if condition(job) else None

        return eventually(holds, seconds, what)

    # ── soulstones and processes ────────────────────────────────────────────────────────────

    def stone(self, name, method="GET", path="/stats", body=None):
        """One request to a soulstone itself, past the gate."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stones[name].port, timeout=5)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def fault(self, name, fault):
        self.stone(name, "POST", "/fault", {"fault": fault})

    def until_busy(self, name, requests):
        def busy():
            try:
                return self.stone(name)["in_flight"] == requests
            except OSError:
                return False  # it is only being started

        eventually(busy, 30, f"{requests} in flight on {name}")

    def written(self, name, event):
        """The lines of a kind in a soulstone's journal, over all its lives."""
        journal = self.journal(name)
        text = journal.read_text() if journal.exists() else ""  # it may never have been started
        return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]

    def pid(self, node):
        sight = self.processes.find(node)
        return sight.process.pid if sight else None

    def kill(self, node):
        """SIGKILL to a node; returns its former pid."""
        pid = self.pid(node)
        os.kill(pid, signal.SIGKILL)
        return pid

    def until_reborn(self, node, old):
        return eventually(
            lambda: (pid := self.pid(node)) is not None and pid != old and pid,
            30,
            f"a new {node}",
        )


class Clients:
    """Clients in threads of their own, each checking its answer token by token."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.number = 0

    def ask(
        self, box: Box, model: str, tokens=5, stream=True, klass="reflex", seconds=60.0
    ) -> Future[Outcome]:
        self.number += 1
        plan = Plan(self.number, model, stream, tokens, klass)
        return self.pool.submit(lambda: asyncio.run(ask(box.port, plan, seconds)))


def kinds(futures):
    """How these requests ended, with the reasons of those that were not answered in full."""
    outcomes = [future.result(90) for future in futures]
    return [out.kind if out.kind == "full" else f"{out.kind}: {out.detail}" for out in outcomes]
