"""The dispatcher: what waits, what is in flight, and what the gates may send where.

It owns the signals of every gate (and the broker's, which are jobs), folds them into the demand the
whim decides on (W9), and pushes admission: which soulstones are open, with how many slots for each
gate. A warm request never comes here (W8).
"""

from __future__ import annotations

import time
from typing import ClassVar

from covend.actors.admission.catalog import Catalog
from covend.actors.admission.gates import GateDrain, GateEntry, Refusal, flowing, grants, usage
from covend.actors.messages import (
    BrokerStarted,
    CapabilitiesOpen,
    DemandChanged,
    DemandNow,
    DrainGates,
    GiveUpOn,
    NewConfig,
    Reopen,
    ServiceLearned,
    SetOpen,
    Snapshot,
    Traffic,
)
from covend.actors.snapshot import dispatcher_snapshot
from covend.protocol import (
    Admission,
    Announce,
    CoreHello,
    Drained,
    PauseAdmission,
    RefuseWaiting,
    SignalNote,
    SignalsChanged,
    UpstreamBroke,
    UsageChanged,
)
from covend.runtime import Actor, Down, MailboxSpec, Message, MonitorId

HELLO_SECONDS = 1.0
REPORT_SECONDS = 0.002
"""Demand that changes in a burst reaches the arbiter as one message."""


class Tick(Message, frozen=True):
    """A timer's message: ``hello`` to the gates, or ``report`` to the arbiter."""

    what: str


class Dispatcher(Actor):
    """Owns signals and admission; address ``dispatcher@core`` (docs/architecture.md)."""

    mailbox: ClassVar[MailboxSpec] = MailboxSpec(bound=100_000, policy="reject")

    def __init__(self, catalog: Catalog, incarnation: int) -> None:
        self.catalog = catalog
        self.incarnation = incarnation
        self.gates: dict[str, GateEntry] = {}
        self.watched: dict[MonitorId, str] = {}
        self.jobs: dict[str, SignalNote] = {}
        self.added: dict[str, SignalNote] = {}
        self.removed: set[str] = set()
        self.open: frozenset[str] = frozenset()
        self.eta: dict[str, float] = {}
        self.epoch = 0
        self.told_to_open = False
        self.drains: dict[int, GateDrain] = {}
        self.refused: dict[str, Refusal] = {}
        self.number = 0
        self.told_broker: CapabilitiesOpen | None = None
        self.report_due = False

    def on_start(self) -> None:
        # A dispatcher that is started again in the same core is news to the gates as well.
        self.incarnation = max(self.incarnation, time.time_ns() // 1_000_000)
        self.hello()

    def on_receive(self, message: object) -> object:
        match message:
            case Announce():
                self.announced(message)
            case SignalsChanged():
                self.signals_changed(message)
            case UsageChanged():
                self.usage_changed(message)
            case UpstreamBroke():
                self.ctx.tell(f"soulstone/{message.soulstone}", message)
            case Drained():
                self.gate_drained(message.epoch, message.node)
            case DrainGates():
                self.drain(message)
            case Reopen():
                self.drains.pop(message.epoch, None)
            case SetOpen():
                self.set_open(message)
            case GiveUpOn():
                self.give_up(message)
            case DemandNow():
                return self.view(whole=True)
            case NewConfig():
                self.catalog = Catalog(message.box)
                self.push()
            case BrokerStarted():  # it tells of its jobs anew, and has to hear what is open
                self.told_broker = None
                self.signals_changed(SignalsChanged("broker", [], list(self.jobs)))
            case Down():
                self.gate_down(message.monitor)
            case Tick(what="hello"):
                self.hello()
            case Tick():
                self.report()
            case Snapshot():
                return dispatcher_snapshot(self)
            case _:
                pass
        return None

    # ── gates ───────────────────────────────────────────────────────────────────────────────

    def hello(self) -> None:
        """Ask every configured gate to announce itself, and watch its process."""
        now = self.ctx.now()
        for index in range(self.catalog.box.gates):
            name = f"gate-{index}"
            if name not in self.watched.values():
                self.watch(name)
            entry = self.gates.get(name)
            if entry is None or now - entry.seen > HELLO_SECONDS:
                self.tell_gate(name, CoreHello(incarnation=self.incarnation))
        self.ctx.timer("hello", HELLO_SECONDS, Tick("hello"))

    def watch(self, gate: str) -> None:
        """Hear of this incarnation's end, and no more of the one before."""
        for monitor in [monitor for monitor, name in self.watched.items() if name == gate]:
            self.ctx.demonitor(monitor)
            del self.watched[monitor]
        self.watched[self.ctx.monitor(self.ctx.system.address(f"gate@{gate}"))] = gate

    def gate_down(self, monitor: MonitorId) -> None:
        """A gate's process has ended. One that is only silent still holds its streams (W20)."""
        gate = self.watched.pop(monitor, None)
        if gate is not None:
            self.forget(gate)

    def announced(self, news: Announce) -> None:
        """One gate's full state replaces what was believed of it (docs/architecture.md)."""
        known = self.gates.get(news.gate)
        if known is None or known.incarnation != news.incarnation:
            if known is not None:
                self.forget(news.gate)
                self.watch(news.gate)
            known = self.gates[news.gate] = GateEntry(news.incarnation, news.admission > 0)
        known.seen = self.ctx.now()
        known.acknowledge(news.admission)
        self.epoch = max(self.epoch, news.admission)  # a gate drops what is not newer than it has
        fresh = {note.id: note for note in news.signals}
        for gone in known.signals.keys() - fresh.keys():
            self.unwait(known.signals.pop(gone))
        for added in fresh.keys() - known.signals.keys():
            self.wait(known.signals, fresh[added])
        known.in_use = dict(news.in_use)
        self.push()
        for drain in self.drains.values():
            self.pause(news.gate, drain)
        self.changed()

    def forget(self, gate: str) -> None:
        """A gate's process is gone: its connections ended with it, so did its demand and slots."""
        entry = self.gates.pop(gate, None)
        for epoch in list(self.drains):
            self.gate_drained(epoch, gate)
        if entry is None:
            return
        for note in entry.signals.values():
            self.unwait(note)
        self.push()
        self.changed()

    def signals_changed(self, news: SignalsChanged) -> None:
        held = self.jobs
        if news.gate != "broker":
            entry = self.gates.get(news.gate)
            if entry is None:
                return  # its announcement is on the way and will carry these
            entry.seen = self.ctx.now()
            held = entry.signals
        for note in news.added:
            if note.id not in held:
                self.wait(held, note)
        for gone in news.removed:
            note = held.pop(gone, None)
            if note is not None:
                self.unwait(note)
        self.rebalance()
        self.changed()

    def usage_changed(self, news: UsageChanged) -> None:
        entry = self.gates.get(news.gate)
        if entry is None:
            return
        entry.seen = self.ctx.now()
        entry.in_use = dict(news.in_use)
        entry.acknowledge(news.admission)
        for served in news.served:
            if served.ok:
                self.ctx.tell(
                    "arbiter",
                    ServiceLearned(
                        served.soulstone, served.capability, served.klass, served.service
                    ),
                )
        self.rebalance()
        self.changed()

    # ── demand ──────────────────────────────────────────────────────────────────────────────

    def wait(self, held: dict[str, SignalNote], note: SignalNote) -> None:
        held[note.id] = note
        self.added[note.id] = note
        self.removed.discard(note.id)
        refusal = self.refused.get(note.capability)
        if refusal is None:
            return
        if self.ctx.now() < refusal.until:
            self.tell_refusal(note.capability, refusal)
        else:
            del self.refused[note.capability]

    def unwait(self, note: SignalNote) -> None:
        if self.added.pop(note.id, None) is None:
            self.removed.add(note.id)

    def view(self, whole: bool = False) -> DemandChanged:
        """What the arbiter has not heard yet, and the in-flight work of all gates together (W9).

        The ``whole`` demand replaces everything before it, also what is still on its way.
        """
        added = self.added
        if whole:
            added = dict(self.jobs)
            for entry in self.gates.values():
                added.update(entry.signals)
        self.number += 1
        news = DemandChanged(
            self.ctx.now(), tuple(added.values()), tuple(self.removed), *usage(self.gates.values()),
            number=self.number, whole=whole,
        )  # fmt: skip
        self.added, self.removed = {}, set()
        return news

    def changed(self) -> None:
        if not self.report_due:
            self.report_due = True
            self.ctx.timer("report", REPORT_SECONDS, Tick("report"))

    def report(self) -> None:
        self.report_due = False
        news = self.view()
        self.ctx.tell("arbiter", news)
        for name, counts in news.in_flight.items():
            watchdog = self.ctx.system.find(f"watchdog/{name}")
            if watchdog is not None:
                last_byte = news.last_byte.get(name, 0.0)
                streams = flowing(self.gates.values(), name)
                watchdog.tell(Traffic(sum(counts.values()), last_byte, streams))
        self.tell_broker()

    # ── admission ───────────────────────────────────────────────────────────────────────────

    def set_open(self, order: SetOpen) -> None:
        self.open, self.eta, self.told_to_open = order.soulstones, order.eta, True
        for capability in list(self.refused):
            if self.open & set(self.catalog.serving.get(capability, ())):
                del self.refused[capability]
        self.push(force=True)
        self.tell_broker()

    def rebalance(self) -> None:
        """With several gates, move unused slots to where requests wait."""
        if len(self.gates) > 1:
            self.push()

    def push(self, force: bool = False) -> None:
        """Send each gate what it may do now; what it knows already only when ``force``.

        Nothing before the arbiter has said what is open: until then the gates go on with what the
        core before this one allowed (docs/architecture.md).
        """
        if not self.told_to_open:
            return
        allowed = grants(self.gates, self.open, self.catalog)
        for name, entry in self.gates.items():
            latest = entry.sent.get(max(entry.sent, default=-1))
            if force or latest != allowed[name]:
                self.send_admission(name, entry, allowed[name])

    def send_admission(self, gate: str, entry: GateEntry, grant: dict[str, int]) -> None:
        self.epoch += 1
        entry.sent[self.epoch] = grant
        self.tell_gate(gate, Admission(epoch=self.epoch, open=grant, eta=self.eta))

    # ── draining ────────────────────────────────────────────────────────────────────────────

    def drain(self, order: DrainGates) -> None:
        """Close these soulstones at every gate; confirm when none has anything in flight (W20).

        A gate that lives and has not announced itself yet is waited for as well.
        """
        self.open = self.open - set(order.soulstones)
        drain = self.drains[order.epoch] = GateDrain(
            order, self.gates.keys() | set(self.watched.values())
        )
        for gate in self.gates:
            self.pause(gate, drain)
        self.told_broker = None  # it closed more on its own, and waits to hear what is open
        self.tell_broker()
        self.finish(order.epoch)

    def pause(self, gate: str, drain: GateDrain) -> None:
        """Tell one gate to close; its admission loses these soulstones in the same breath."""
        order = drain.order
        drain.waiting.add(gate)
        entry = self.gates[gate]
        self.send_admission(gate, entry, grants(self.gates, self.open, self.catalog)[gate])
        self.tell_gate(
            gate,
            PauseAdmission(
                epoch=order.epoch,
                soulstones=list(order.soulstones),
                deadline=order.deadline,
                reply_to="dispatcher@core",
                admission=self.epoch,
            ),
        )

    def gate_drained(self, epoch: int, gate: str) -> None:
        drain = self.drains.get(epoch)
        if drain is not None:
            drain.waiting.discard(gate)
            self.finish(epoch)

    def finish(self, epoch: int) -> None:
        drain = self.drains[epoch]
        if not drain.waiting:
            del self.drains[epoch]
            self.ctx.tell(
                self.ctx.system.address(drain.order.reply_to),
                Drained(epoch=epoch, node="gates", active=0, boundaries={}),
            )

    # ── refusing ────────────────────────────────────────────────────────────────────────────

    def give_up(self, order: GiveUpOn) -> None:
        """Refuse what waits, and what comes until the quarantine ends or it is open again (W24)."""
        refusal = Refusal(order.reason, self.ctx.now() + order.retry_after)
        for capability in order.capabilities:
            self.refused[capability] = refusal
            self.tell_refusal(capability, refusal)

    def tell_refusal(self, capability: str, refusal: Refusal) -> None:
        message = RefuseWaiting(
            capability=capability,
            status=503,
            reason=refusal.reason,
            retry_after=max(0.0, refusal.until - self.ctx.now()),
        )
        for gate in self.gates:
            self.tell_gate(gate, message)

    # ── others ──────────────────────────────────────────────────────────────────────────────

    def tell_broker(self) -> None:
        """Jobs may use what is open, unless a higher class waits for the same thing (W14)."""
        waiting = {
            note.capability
            for entry in self.gates.values()
            for note in entry.signals.values()
            if note.klass == "reflex"
        }
        stones = {
            name for capability in waiting for name in self.catalog.serving.get(capability, ())
        }
        news = CapabilitiesOpen(
            open=self.catalog.served_by(self.open),
            dominated=self.catalog.served_by(frozenset(stones & self.open)),
        )
        if news != self.told_broker:
            self.told_broker = news
            self.ctx.tell("broker", news)

    def tell_gate(self, gate: str, message: object) -> None:
        self.ctx.tell(self.ctx.system.address(f"gate@{gate}"), message)
