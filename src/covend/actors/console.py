"""The console actor: answers the command line, and keeps the last events for who asks.

It owns no state that decides anything: it asks the owners and puts the answers together.
Address ``console@core``. Configuration changes come in here too: the file is looked at every
second, checked as a whole, and only a good one is passed on (G10).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from covend.actors.asking_store import SERVING_SECONDS, ask_store
from covend.actors.messages import Alert, ConfigInForce, Event, NewConfig, Snapshot
from covend.config import Box, ConfigErrors, diff, load, remember
from covend.phylactery.actor import Append, Query
from covend.phylactery.records import record
from covend.protocol import (
    EventsQuery,
    JobQuery,
    ReloadConfig,
    StatusQuery,
    SubmitJob,
    SwapRequest,
    WhyQuery,
)
from covend.runtime import Actor, ActorError, Answer, MailboxSpec, Message, Promise, ReplyError
from covend.runtime.saying import say

LOOK_SECONDS = 1.0
ASK_SECONDS = 3.0
KEEP_EVENTS = 5000
OWNERS = ("dispatcher", "broker", "oculus", "arbiter", "registry", "herald", "courier", "desk")
"""Who takes a changed configuration over (G10)."""


Stamp = tuple[int, int]


class LookAtConfig(Message, frozen=True):
    """A timer's message: has the configuration file changed?"""


class Console(Actor):
    """Answers ``covend status``, ``swap``, ``why`` and the demo's live view.

    The first look at the file is a second after the start, whatever its stamp: it may have changed
    since ``box`` was read from it, and other processes may have read it before the last core (G10).
    ``taken`` is called with each configuration that comes into force.
    """

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=10_000, policy="drop_oldest")

    def __init__(
        self, box: Box, incarnation: int, taken: Callable[[Box], None] | None = None
    ) -> None:
        self.box = self.in_force = box
        self.taken = taken
        self.incarnation = incarnation
        self.started = 0.0
        self.events: deque[tuple[int, Event]] = deque(maxlen=KEEP_EVENTS)
        self.alerts: deque[Event] = deque(maxlen=box.alerts.keep)
        self.told: dict[str, float] = {}
        self.sequence = 0
        self.stamp: Stamp | None = None

    def on_start(self) -> None:
        self.started = self.ctx.now()
        self.ctx.timer("config", LOOK_SECONDS, LookAtConfig())

    def on_receive(self, message: object) -> object:
        match message:
            case Event():
                self.note(message)
            case Alert():
                self.alert(message)
            case StatusQuery():
                return self.status()
            case EventsQuery():
                return self.since(message)
            case SwapRequest():
                return self.forward("arbiter", message, message.timeout)
            case SubmitJob() | JobQuery():
                return self.forward("broker", message, 15.0)
            case WhyQuery():
                return self.why(message.id)
            case LookAtConfig():
                self.look()
            case ConfigInForce():
                self.now_in_force(message.box)
            case _:
                pass
        return None

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def note(self, event: Event) -> None:
        self.sequence += 1
        self.events.append((self.sequence, event))
        say(f"{event.kind}: {event.text}")

    def alert(self, alert: Alert) -> None:
        """An operator must know: events, log and record get it with its evidence (W27).

        What ``covend status`` shows as alerts has the same one once in ``alerts.repeat_seconds``.
        """
        now = self.ctx.now()
        event = Event("alert", now, alert.text, alert.data)
        self.note(event)
        if now - self.told.get(alert.text, -math.inf) >= self.box.alerts.repeat_seconds:
            self.told[alert.text] = now
            self.alerts.append(event)
        entry = record("alerts", "alert", {"text": alert.text, "data": alert.data}, actor="console")
        self.ctx.tell("phylactery", Append([entry]))

    def since(self, query: EventsQuery) -> dict[str, Any]:
        found = [
            {"seq": seq, "kind": event.kind, "at": event.at, "text": event.text, "data": event.data}
            for seq, event in self.events
            if seq > query.after
        ]
        return {"incarnation": self.incarnation, "events": found[: query.limit]}

    # ── answers ─────────────────────────────────────────────────────────────────────────────

    def status(self) -> dict[str, Any]:
        """The whole box as plain data, put together from the owners' answers."""
        arbiter = self.part("arbiter")
        dispatcher = self.part("dispatcher")
        for coven in arbiter.get("covens", []):
            for stone in coven["soulstones"]:
                stone["in_use"] = dispatcher.get("in_use", {}).get(stone["name"], 0)
                stone["waiting"] = dispatcher.get("waiting", {}).get(stone["name"], 0)
        return {
            "box": self.box.name,
            "uptime": self.ctx.now() - self.started,
            "core_incarnation": self.incarnation,
            "devices": arbiter.get("devices", []),
            "covens": arbiter.get("covens", []),
            "queue": dispatcher.get("queue", []),
            "gates": dispatcher.get("gates", []),
            "transition": arbiter.get("transition"),
            "decision": arbiter.get("decision"),
            "jobs": self.part("broker"),
            "unavailable": {
                name: part["unavailable"]
                for name, part in (("arbiter", arbiter), ("dispatcher", dispatcher))
                if "unavailable" in part
            },
            "alerts": [
                {"at": event.at, "text": event.text, "data": event.data} for event in self.alerts
            ],
        }

    def part(self, owner: str) -> dict[str, Any]:
        try:
            return self.ctx.ask(owner, Snapshot(), timeout=ASK_SECONDS)
        except ActorError as error:
            return {"unavailable": str(error)}

    def forward(self, owner: str, message: object, timeout: float) -> Promise:
        """Answer when the owner does; the console stays free for others meanwhile."""
        promise = self.ctx.later()
        answer = self.ctx.ask_later(owner, message, timeout=timeout)

        def pass_on(done: Answer) -> None:
            try:
                promise.reply(done.get())
            except Exception as error:  # whatever the owner failed with is the asker's answer
                promise.fail(error)

        answer.on_done(pass_on)
        return promise

    def why(self, name: str) -> dict[str, Any]:
        """The stored record of a decision, transition or alert, with its reasons (W18)."""
        try:
            found = ask_store(self.ctx, Query(thread=name, newest_first=False), SERVING_SECONDS)
            if not found and name == "last":
                found = ask_store(self.ctx, Query(kind="decision", limit=1), SERVING_SECONDS)
        except ActorError as error:
            raise ReplyError(f"the records cannot be read now: {error}") from error
        if not found and name == "last":
            raise ReplyError("no swap has happened yet")
        if not found:
            raise ReplyError(
                f"nothing is known of {name!r}: give a transition's or decision's id as `covend "
                "status` shows it, a job as job:ID, or `last`"
            )
        return {"id": name, "records": [msgspec.to_builtins(entry) for entry in found]}

    # ── configuration ───────────────────────────────────────────────────────────────────────

    def look(self) -> None:
        """Read the file again if it changed; a bad one changes nothing and is reported whole."""
        self.ctx.timer("config", LOOK_SECONDS, LookAtConfig())
        now, first = stamp(self.box.source), self.stamp is None
        if now == self.stamp or now is None:
            return
        self.stamp = now
        try:
            read = load(self.box.source)
        except ConfigErrors as error:
            self.alert(Alert("the changed configuration is refused", {"errors": str(error)}))
            return
        here = self.box
        box = msgspec.structs.replace(read, run_dir=here.run_dir, state_dir=here.state_dir)
        if box != here:
            self.box = box
            remember(box.source, box.run_dir)
            for owner in OWNERS:
                self.ctx.tell(owner, NewConfig(box))
        changes = diff(here, box)
        if (first or changes) and not changes.soulstone and not changes.coven:
            self.reload(box)  # keys and limits wait for no drain

    def now_in_force(self, box: Box) -> None:
        """The arbiter has taken it up, and drained what it changes: the gates may follow (G10)."""
        self.reload(box)
        if self.taken is not None:
            self.taken(box)
        changes, self.in_force = diff(self.in_force, box), box
        if changes:
            self.note(Event("config", self.ctx.now(), "the changed configuration is in force"))
        if changes.restart:
            paths = ", ".join(changes.restart)
            text = f"{paths} changed: in force only after `covend stop` and `covend serve`"
            self.alert(Alert(text, {"restart": list(changes.restart)}))

    def reload(self, box: Box) -> None:
        """Have the other processes read the file again."""
        for node in ("reactor@reactor", *(f"gate@gate-{index}" for index in range(box.gates))):
            self.ctx.tell(self.ctx.system.address(node), ReloadConfig(path=box.source))


def stamp(path: str) -> Stamp | None:
    """What changes when a file is written: modification time and size; ``None`` if it is gone."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
