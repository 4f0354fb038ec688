"""Coven, watchdog, soulstone and console on a simulated system."""

import itertools
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.stage import MIB, Ear, Store, StubWire, heard, small_box

from covend.actors import console as console_module
from covend.actors.console import Console
from covend.actors.messages import (
    Alert,
    ConfigInForce,
    CovenDrained,
    DrainGates,
    DrainGhouls,
    Event,
    HardReset,
    MemoryReading,
    NewConfig,
    Reopen,
    Snapshot,
    SoulstoneDown,
    SoulstoneHealth,
    SoulstoneReady,
    Traffic,
)
from covend.actors.swaps import soulstone as soulstone_module
from covend.actors.swaps.coven import CovenActor, SoftStopCoven
from covend.actors.swaps.soulstone import Look, SoulstoneActor
from covend.actors.swaps.watchdog import WatchdogActor
from covend.config import ConfigErrors, Watchdog
from covend.phylactery.records import record
from covend.protocol import Drained, EventsQuery, ReloadConfig, StatusQuery, SwapRequest, WhyQuery
from covend.runtime import ActorDead, ReplyError, SimSystem

BOX = small_box()
A = BOX.soulstone[0]
LIMITS = Watchdog(health_failures=3, health_seconds=5.0, quota_seconds=5.0, stall_seconds=60.0)


@pytest.fixture
def system():
    with SimSystem(node="core") as made:
        yield made


def ears(system, *names):
    logs = {name: [] for name in names}
    for name, log in logs.items():
        system.spawn(Ear, log, {Snapshot: {}}, name=name)
    return logs


# ── the coven ───────────────────────────────────────────────────────────────────────────────


@given(confirms=st.permutations([("gates", 2), ("broker", 2), ("gates", 1), ("broker", 1)]))
def test_a_coven_is_drained_when_gates_and_ghouls_have_both_confirmed_this_epoch(confirms):
    """S17, W20: in any order, among stale confirmations; the boundaries are passed on."""
    with SimSystem(node="core") as system:
        logs = ears(system, "arbiter", "dispatcher", "broker")
        coven = system.spawn(CovenActor, "A", name="coven/A")
        for epoch in (1, 2):
            coven.tell(SoftStopCoven(epoch, ("a",), 9.0))
        system.run_until_idle()
        assert [o.epoch for o in heard(logs["dispatcher"], DrainGates)] == [1, 2]
        assert {o.reply_to for o in heard(logs["broker"], DrainGhouls)} == {"coven/A@core"}
        seen = set()
        for node, epoch in confirms:
            coven.tell(Drained(epoch, node, 0, {f"{node}-{epoch}": epoch}))
            system.run_until_idle()
            seen |= {node} if epoch == 2 else set()
            news = heard(logs["arbiter"], CovenDrained)
            assert len(news) == (1 if seen == {"gates", "broker"} else 0)
        assert news == [CovenDrained("A", 2, {"gates-2": 2, "broker-2": 2})]


def test_a_coven_whose_drain_is_called_off_tells_both_and_confirms_nothing(system):
    """W21."""
    logs = ears(system, "arbiter", "dispatcher", "broker")
    coven = system.spawn(CovenActor, "A", name="coven/A")
    coven.tell(SoftStopCoven(3, ("a",), 9.0))
    coven.tell(Reopen(2))
    coven.tell(Reopen(3))
    for node in ("gates", "broker"):
        coven.tell(Drained(3, node, 0, {}))
    system.run_until_idle()
    assert heard(logs["arbiter"], CovenDrained) == []
    assert heard(logs["dispatcher"], Reopen) == heard(logs["broker"], Reopen) == [Reopen(3)]


# ── the watchdog ────────────────────────────────────────────────────────────────────────────


def reading(size):
    return MemoryReading(0.0, {}, {}, {}, {"a": {"d": size}})


@pytest.mark.parametrize(
    ("seen", "seconds", "cause"),
    [
        ([SoulstoneHealth("a", False, "refused")] * 3, 0.1, "health"),
        ([reading(41 * MIB)], 7.0, "quota"),
        ([Traffic(1, 0.0, 1)], 62.0, "stall"),
        ([Traffic(1, 0.0)], 62.0, None),
        ([Traffic(1, 0.0)], 602.0, "stall"),
        ([SoulstoneHealth("a", False, "x")] * 2 + [SoulstoneHealth("a", True, "")], 99.0, None),
        ([reading(41 * MIB), reading(39 * MIB)], 99.0, None),
        ([Traffic(1, 0.0), Traffic(0, 1.0)], 99.0, None),
    ],
)
def test_a_watchdog_condemns_what_is_beyond_waiting_for_once(system, seen, seconds, cause):
    """W26: failing health, memory over its quota, a stalled engine; nothing that recovered."""
    logs = ears(system, "arbiter")
    dog = system.spawn(WatchdogActor, A, LIMITS, name="watchdog/a")
    for observation in seen:
        dog.tell(observation)
    system.advance(seconds)
    verdicts = heard(logs["arbiter"], HardReset)
    assert [verdict.cause for verdict in verdicts] == ([cause] if cause else [])


# ── the soulstone ───────────────────────────────────────────────────────────────────────────


class Process:
    """The soulstone's process as the actor sees it: unit record, health, exit watch."""

    def __init__(self, patch):
        self.unit, self.healthy, self.on_exit, self.cancelled = None, False, None, 0
        patch.setattr(soulstone_module, "observe", lambda units: self.unit or {})
        patch.setattr(soulstone_module, "exit_watcher", lambda: self)
        patch.setattr(soulstone_module, "HealthProbe", lambda endpoint, path: self)

    def starts(self, pid=7, started=0.0):
        unit = SimpleNamespace(pid=pid, create_time=1.0, started=started, alive=True)
        self.unit = {"a": unit, "ext": unit}

    def watch(self, pid, create_time, on_exit):
        self.on_exit = on_exit
        return SimpleNamespace(cancel=lambda: None)

    def __call__(self, timeout):
        return self.healthy, "HTTP 200" if self.healthy else "refused"

    def close(self):
        pass


@pytest.fixture
def process(monkeypatch):
    return Process(monkeypatch)


def test_readiness_is_found_within_twenty_milliseconds(system, process):
    """W23."""
    logs = ears(system, "arbiter", "watchdog/a")
    stone = system.spawn(SoulstoneActor, A, LIMITS, 180.0, None, name="soulstone/a")
    system.run_until_idle()
    assert heard(logs["arbiter"], SoulstoneDown) == [SoulstoneDown("a", None, {"why": "absent"})]
    process.starts()
    stone.tell(Look())
    system.advance(3.0)
    assert heard(logs["arbiter"], SoulstoneReady) == []
    process.healthy = True
    system.advance(0.02)
    (ready,) = heard(logs["arbiter"], SoulstoneReady)
    assert (ready.name, ready.pid) == ("a", 7) and 3.0 <= ready.load_seconds <= 3.02
    stone.tell(Look())
    system.advance(5.1)
    assert len(heard(logs["arbiter"], SoulstoneReady)) == 1
    assert heard(logs["watchdog/a"], SoulstoneHealth)[-1].ok


def test_who_lives_and_never_answers_is_the_watchdogs_once_a_transition_would_have_given_up(
    system, process
):
    """W26: adopted from a core that died, say; while it may still load nobody condemns it."""
    logs = ears(system, "arbiter", "watchdog/a")
    process.starts(started=system.now())
    system.spawn(SoulstoneActor, A, LIMITS, 20.0, None, name="soulstone/a")
    system.advance(19.9)
    assert heard(logs["watchdog/a"], SoulstoneHealth) == []
    system.advance(LIMITS.health_seconds * 3 + 0.2)
    bad = heard(logs["watchdog/a"], SoulstoneHealth)
    assert len(bad) >= LIMITS.health_failures and not any(news.ok for news in bad)
    process.healthy = True
    system.advance(LIMITS.health_seconds + 0.1)
    assert [ready.name for ready in heard(logs["arbiter"], SoulstoneReady)] == ["a"]


def test_a_death_is_told_with_its_evidence_and_ends_the_actor(system, process):
    """W26: its supervisor starts one that looks anew."""
    logs = ears(system, "arbiter")
    process.starts()
    process.healthy = True
    stone = system.spawn(SoulstoneActor, A, LIMITS, 180.0, None, name="soulstone/a")
    system.advance(0.1)
    process.on_exit(9)
    system.advance(0.1)
    (down,) = heard(logs["arbiter"], SoulstoneDown)
    assert down.pid == 7 and down.evidence == {"pid": 7, "status": 9, "was_ready": True}
    assert not stone.alive


def test_a_shared_soulstone_is_only_probed(system, process):
    """W4: it has no process of ours to watch."""
    logs = ears(system, "arbiter")
    system.spawn(SoulstoneActor, BOX.soulstone[2], LIMITS, 180.0, None, name="soulstone/ext")
    system.run_until_idle()
    process.healthy = True
    system.advance(5.1)
    assert [news.ok for news in heard(logs["arbiter"], SoulstoneHealth)] == [False, True]
    assert process.on_exit is None


# ── the console ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def console(system, monkeypatch):
    wire, records = StubWire(), []
    system.attach(wire)
    system.spawn(Store, records, name="phylactery")
    stamps = itertools.chain([(1, 1), (2, 2)], itertools.repeat((2, 2)))
    monkeypatch.setattr(console_module, "stamp", lambda path: next(stamps))
    monkeypatch.setattr(console_module, "load", lambda path: BOX)
    monkeypatch.setattr(console_module, "remember", lambda *given: None, raising=False)
    made = system.spawn(Console, BOX, 5, name="console")
    return SimpleNamespace(ref=made, wire=wire, records=records)


def test_the_status_tells_who_cannot_be_asked_and_shows_the_rest(system, console):
    """X6: a dead owner is no dead console."""
    system.spawn(Ear, [], {Snapshot: {"queue": [1], "gates": ["gate-0"]}}, name="dispatcher")
    status = console.ref.ask(StatusQuery(), timeout=20.0)
    assert status["queue"] == [1] and status["gates"] == ["gate-0"] and status["covens"] == []
    assert "arbiter" in status["unavailable"] and "dispatcher" not in status["unavailable"]
    assert "nobody" in status["jobs"]["unavailable"]


def test_why_gives_the_records_or_says_what_may_be_asked(system, console):
    """W18."""
    entry = record("t-1", "decision", {"why": "D > I"}, actor="arbiter", act="INTEND")
    console.records.append({"thread": entry.thread, "kind": entry.kind, "body": entry.body})
    for name in ("t-1", "last"):
        found = console.ref.ask(WhyQuery(name), timeout=5.0)["records"]
        assert found[0]["body"] == {"why": "D > I"}
    console.records.clear()
    with pytest.raises(ReplyError, match="no swap has happened yet"):
        console.ref.ask(WhyQuery("last"), timeout=5.0)
    with pytest.raises(ReplyError, match="nothing is known of 'nope'"):
        console.ref.ask(WhyQuery("nope"), timeout=5.0)
    system.find("phylactery").stop()
    system.run_until_idle()
    with pytest.raises(ReplyError, match="cannot be read now"):
        console.ref.ask(WhyQuery("t-1"), timeout=5.0)
    assert console.ref.alive


def test_what_the_owner_answers_or_fails_with_is_the_askers(system, console):
    """S12."""
    with pytest.raises(ActorDead):
        console.ref.ask(SwapRequest("A", 5.0), timeout=9.0)
    system.spawn(Ear, [], {SwapRequest: {"phase": "open"}}, name="arbiter")
    assert console.ref.ask(SwapRequest("A", 5.0), timeout=9.0) == {"phase": "open"}


def test_events_are_kept_in_order_and_alerts_are_recorded(system, console):
    """W27: an alert is shown, and stored with its evidence."""
    for number in range(3):
        console.ref.tell(Event("phase", 0.0, f"{number}"))
    console.ref.tell(Alert("disk is full", {"left": 0}))
    events = console.ref.ask(EventsQuery(after=1, limit=2), timeout=5.0)["events"]
    assert [event["text"] for event in events] == ["1", "2"]
    assert console.records[-1]["body"] == {"text": "disk is full", "data": {"left": 0}}


def test_a_configuration_that_does_not_hold_changes_nothing_and_every_error_is_told(
    system, console, monkeypatch
):
    """G10."""
    logs = ears(system, "arbiter", "dispatcher", "broker")
    system.advance(1.5)
    before = len(console.wire.to("gate-0", ReloadConfig))

    class Wrong(ConfigErrors):
        def __init__(self):
            Exception.__init__(self, "line 3: no device\nline 9: no port")

        def __str__(self):
            return "line 3: no device\nline 9: no port"

    def wrong(path):
        raise Wrong

    monkeypatch.setattr(console_module, "load", wrong)
    system.advance(2.5)
    alerts = console.ref.ask(StatusQuery(), timeout=20.0)["alerts"]
    assert len(alerts) == 1 and "line 3" in str(alerts[0]) and "line 9" in str(alerts[0])
    assert not heard(logs["arbiter"], NewConfig)
    assert len(console.wire.to("gate-0", ReloadConfig)) == before


def test_a_change_that_needs_a_restart_is_told_as_such(system, console, monkeypatch):
    """G10: nobody is left to believe that the box listens elsewhere now."""
    ears(system, "arbiter", "dispatcher", "broker")
    system.advance(1.5)
    moved = msgspec.structs.replace(BOX, listen="127.0.0.1:1")
    monkeypatch.setattr(console_module, "load", lambda path: moved)
    system.advance(2.5)
    console.ref.tell(ConfigInForce(moved))
    system.advance(0.1)
    alerts = console.ref.ask(StatusQuery(), timeout=20.0)["alerts"]
    assert ["listen" in alert["text"] for alert in alerts] == [True]
