"""The reactor: an intent becomes the world it names, once, in order, whatever crashes (W3, W22)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec
import pytest

from covend.config import Box, ConfigErrors
from covend.host import reactor
from covend.host.intent import Intent, claim, new_intent, seal, withdraw, write_intent
from covend.host.oculus import Oculus, Reading
from covend.host.reactor import Reactor, StopAll
from covend.host.units import observe, present
from covend.protocol import IntentPosted, IntentRefused, ReloadConfig, WorldChanged
from covend.runtime import ThreadSystem
from covend.runtime.orphans import OrphanReaper, become_subreaper
from covend.testing.waiting import eventually

from .conftest import MIB, Stage, crash_box

Hint = WorldChanged | IntentRefused


class Arbiter:
    """Plays the arbiter: writes intents, hears hints, and restarts the reactor."""

    def __init__(self, stage: Stage, box: Box, oculus: Oculus | None = None) -> None:
        self.stage = stage
        self.box = box
        self.oculus = oculus
        self.hints: SimpleQueue[Hint] = SimpleQueue()
        self.numbers = iter(range(1, 1000))
        self.start()

    def start(self) -> None:
        self.system = ThreadSystem(node="reactor")
        self.reactor = self.system.spawn(
            Reactor, self.box, self.stage.folders, self.hints.put, oculus=self.oculus,
            name="reactor",
        )  # fmt: skip
        assert self.hints.get(timeout=5.0) == WorldChanged(reason="reactor started")

    def stop(self) -> None:
        self.system.shutdown(timeout=20.0)

    @property
    def key(self) -> bytes:
        return self.stage.folders.key()

    def present(self) -> dict[str, int]:
        return present(observe(self.stage.folders.units))

    def intent(self, *target: str, kill: tuple[str, ...] = (), seconds: float = 60.0) -> Intent:
        return new_intent(f"i-{next(self.numbers)}", self.present(), target, seconds, kill)

    def post(self, intent: Intent) -> Hint:
        """Write and announce an intent; the hint that ends it."""
        write_intent(self.stage.folders.intents, intent, self.key)
        self.reactor.tell(IntentPosted(id=intent.id))
        return self.hint(intent.id)

    def hint(self, intent: str) -> Hint:
        deadline = time.monotonic() + 20.0
        while True:
            try:
                hint = self.hints.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"no hint about {intent}") from None
            if hint.intent == intent:
                return hint

    def want(self, *target: str, kill: tuple[str, ...] = ()) -> None:
        intent = self.intent(*target, kill=kill)
        assert self.post(intent) == WorldChanged(reason="carried out", intent=intent.id)
        assert set(self.present()) == set(target)


@pytest.fixture
def arbiter(stage: Stage) -> Iterator[Arbiter]:
    shared = stage.stone("theirs", authority="shared", memory={})
    box = stage.box(stage.stone("a", "children"), stage.stone("b", "children"), shared)
    arbiter = Arbiter(stage, box)
    yield arbiter
    arbiter.stop()


def ups(stage: Stage, count: int) -> list[str]:
    """The names of the soulstones that came up, in order, once there are ``count``."""
    eventually(lambda: len(stage.said("up")) >= count, what=f"{count} came up")
    return [line.split()[0] for line in stage.said("up")]


def test_swaps_never_overlap_and_leave_nobody_behind(stage: Stage, arbiter: Arbiter) -> None:
    """W3: both hold one lock with all their children; an overlap would be in the journal."""
    for count, name in enumerate(["a", "b", "a", "b"], 1):
        arbiter.want(name)
        ups(stage, count)
        eventually(lambda: len(stage.living()) == 3, what="the children are there")
        assert set(stage.living().values()) == {name}
    arbiter.want()
    assert stage.living() == {}
    assert stage.said("overlap") == []
    assert ups(stage, 4) == ["a", "b", "a", "b"]
    assert os.listdir(stage.folders.intents) == []


def test_an_intent_is_found_without_any_hint(stage: Stage, arbiter: Arbiter) -> None:
    """W22: the file is the authority."""
    intent = arbiter.intent("a")
    write_intent(stage.folders.intents, intent, arbiter.key)
    assert arbiter.hint(intent.id) == WorldChanged(reason="carried out", intent=intent.id)


def test_a_stubborn_soulstone_is_killed_with_its_children(stage: Stage) -> None:
    stubborn = stage.stone("a", "children", "stubborn", stop_seconds=0.05)
    arbiter = Arbiter(stage, stage.box(stubborn, stage.stone("b")))
    arbiter.want("a")
    ups(stage, 1)
    eventually(lambda: len(stage.living()) == 3, what="the children are there")
    arbiter.want("b")
    assert set(stage.living().values()) == {"b"}
    assert ups(stage, 2) == ["a", "b"]
    assert stage.said("overlap") == []
    arbiter.stop()


def test_a_hard_reset_waits_for_no_grace(stage: Stage) -> None:
    """W26: a soulstone that would take an hour to stop is born again in one intent."""
    stubborn = stage.stone("a", "stubborn", stop_seconds=3600.0)
    arbiter = Arbiter(stage, stage.box(stubborn))
    arbiter.want("a")
    ups(stage, 1)
    first = arbiter.present()
    arbiter.want("a", kill=("a",))
    assert arbiter.present() != first
    assert ups(stage, 2) == ["a", "a"]
    arbiter.want(*(), kill=("a",))
    arbiter.stop()


def refused(arbiter: Arbiter, intent: Intent, reason: str) -> None:
    before = arbiter.present()
    hint = arbiter.post(intent)
    assert isinstance(hint, IntentRefused)
    assert reason in hint.reason
    assert arbiter.present() == before
    assert os.listdir(arbiter.stage.folders.intents) == []


def test_what_must_not_be_is_refused_and_nothing_changes(stage: Stage, arbiter: Arbiter) -> None:
    """W4, W22: replayed, expired, mismatched, not allow-listed, shared, exclusive of each other."""
    first = arbiter.intent("a")
    arbiter.post(first)
    refused(arbiter, first, "replayed")
    refused(arbiter, msgspec.structs.replace(first, id="again"), "replayed")
    refused(arbiter, arbiter.intent("b", seconds=-1.0), "expired")
    refused(arbiter, arbiter.intent("nobody"), "no such soulstone")
    refused(arbiter, arbiter.intent("theirs"), "shared")
    refused(arbiter, arbiter.intent("a", "b"), "exclude each other")
    refused(arbiter, new_intent("blind", {}, ["b"], 60.0), "not as expected")
    arbiter.stop()
    arbiter.start()
    refused(arbiter, msgspec.structs.replace(first, expected=arbiter.present()), "replayed")


def forged(place: Path, intent: Intent, key: bytes) -> None:
    place.write_bytes(seal(intent, key[::-1]))
    place.chmod(0o600)


def torn(place: Path, intent: Intent, key: bytes) -> None:
    place.write_bytes(seal(intent, key)[:-9])
    place.chmod(0o600)


def open_to_others(place: Path, intent: Intent, key: bytes) -> None:
    place.write_bytes(seal(intent, key))
    place.chmod(0o666)


def linked(place: Path, intent: Intent, key: bytes) -> None:
    real = place.parent.parent / "elsewhere"
    real.write_bytes(seal(intent, key))
    real.chmod(0o600)
    place.symlink_to(real)


def oversized(place: Path, intent: Intent, key: bytes) -> None:
    place.write_bytes(seal(intent, key) + b" " * 10**6)
    place.chmod(0o600)


def pipe(place: Path, intent: Intent, key: bytes) -> None:
    os.mkfifo(place, 0o600)


HOSTILE = [
    (forged, "wrong MAC"),
    (torn, "wrong MAC"),
    (open_to_others, "open to others"),
    (linked, "symbolic link"),
    (oversized, "are allowed"),
    (pipe, "not a regular file"),
]


def test_hostile_files_are_refused_and_the_next_good_one_is_carried_out(
    stage: Stage, arbiter: Arbiter
) -> None:
    """W22, X6."""
    for make, reason in HOSTILE:
        intent = arbiter.intent("a")
        make(stage.folders.intents / f"{intent.id}.intent", intent, arbiter.key)
        hint = arbiter.hint(intent.id)
        assert isinstance(hint, IntentRefused)
        assert reason in hint.reason
    assert arbiter.present() == {}
    arbiter.want("a")


def test_a_folder_among_the_intents_is_told_once_and_disturbs_nobody(
    stage: Stage, arbiter: Arbiter
) -> None:
    (stage.folders.intents / "odd.intent").mkdir()
    hint = arbiter.hint("odd")
    assert isinstance(hint, IntentRefused)
    arbiter.want("a")
    arbiter.want("b")
    assert arbiter.hints.empty()


def test_a_death_is_told_and_its_orphans_are_ended(stage: Stage, arbiter: Arbiter) -> None:
    """W26: a soulstone's death is told with its name; what it left running is cleared away."""
    arbiter.want("a")
    ups(stage, 1)
    eventually(lambda: len(stage.living()) == 3, what="the children are there")
    os.kill(arbiter.present()["a"], signal.SIGKILL)
    hint = arbiter.hints.get(timeout=5.0)
    assert hint == WorldChanged(reason="exited: signal 9", soulstone="a")
    eventually(lambda: stage.living() == {}, what="the orphans are gone")
    arbiter.want("a")


def test_a_planned_stop_is_no_death(stage: Stage, arbiter: Arbiter) -> None:
    arbiter.want("a")
    arbiter.want("b")
    arbiter.want()
    assert arbiter.hints.empty()


def test_a_program_that_is_not_there_is_a_failure_that_is_told(stage: Stage) -> None:
    absent = msgspec.structs.replace(stage.stone("a"), command=("/no/such/program",))
    arbiter = Arbiter(stage, stage.box(absent))
    intent = arbiter.intent("a")
    hint = arbiter.post(intent)
    assert isinstance(hint, WorldChanged)
    assert hint.reason.startswith("failed: a: cannot start")
    assert arbiter.hint(intent.id) == IntentRefused(
        intent=intent.id, reason=hint.reason.removeprefix("failed: ")
    )
    refused(arbiter, intent, "replayed")
    arbiter.stop()


class LateDriver(Oculus):
    """Memory that others seem to hold until it is let go: a driver that releases late."""

    def __init__(self) -> None:
        self.foreign = 0
        self.reads = 0

    def read(self, owned: object = None) -> dict[str, Reading]:
        self.reads += 1
        return {
            "host": Reading(device="host", capacity=150 * MIB, soulstones={}, foreign=self.foreign)
        }


def test_the_new_starts_only_when_the_memory_is_measured_free(stage: Stage) -> None:
    """W2: the old is gone, its memory is not: nothing starts, until the oculus shows it free."""
    oculus = LateDriver()
    arbiter = Arbiter(stage, stage.box(stage.stone("a"), stage.stone("b")), oculus)
    arbiter.want("a")
    ups(stage, 1)
    oculus.foreign, seen = 100 * MIB, oculus.reads
    intent = arbiter.intent("b")
    write_intent(stage.folders.intents, intent, arbiter.key)
    arbiter.reactor.tell(IntentPosted(id=intent.id))
    eventually(lambda: oculus.reads > seen + 3, what="the reactor waits for memory")
    assert stage.living() == {}
    assert arbiter.present() == {}
    oculus.foreign = 0
    assert arbiter.hint(intent.id) == WorldChanged(reason="carried out", intent=intent.id)
    assert ups(stage, 2) == ["a", "b"]
    arbiter.stop()


def test_what_the_reactor_has_in_hand_cannot_be_withdrawn_any_more(stage: Stage) -> None:
    """W22, W25: a new core knows by it that the world it sees may change yet."""
    oculus = LateDriver()
    oculus.foreign = 100 * MIB
    arbiter = Arbiter(stage, stage.box(stage.stone("a")), oculus)
    intent = arbiter.intent("a")
    write_intent(stage.folders.intents, intent, arbiter.key)
    arbiter.reactor.tell(IntentPosted(id=intent.id))
    eventually(lambda: oculus.reads > 3, what="the reactor waits for memory")
    assert not withdraw(stage.folders.intents)
    oculus.foreign = 0
    assert arbiter.hint(intent.id) == WorldChanged(reason="carried out", intent=intent.id)
    assert withdraw(stage.folders.intents)
    arbiter.stop()


def test_a_claim_of_which_the_ledger_knows_nothing_is_removed(
    stage: Stage, arbiter: Arbiter
) -> None:
    """Or every later core would wait for its end."""
    arbiter.stop()
    path = write_intent(stage.folders.intents, arbiter.intent("a"), arbiter.key)
    assert claim(path) is not None
    arbiter.start()
    eventually(lambda: withdraw(stage.folders.intents), what="it is removed")
    assert arbiter.present() == {}


def test_memory_that_never_comes_free_is_a_failure_with_the_figures(stage: Stage) -> None:
    """W1, W19: past the deadline nothing is started."""
    oculus = LateDriver()
    oculus.foreign = 100 * MIB
    box = stage.box(stage.stone("a"))
    limits = msgspec.structs.replace(box.transition, host_action=0.02)
    arbiter = Arbiter(stage, msgspec.structs.replace(box, transition=limits), oculus)
    hint = arbiter.post(arbiter.intent("a"))
    assert isinstance(hint, WorldChanged)
    assert f"{50 * MIB} bytes short of capacity {150 * MIB}" in hint.reason
    assert stage.said("up") == []
    arbiter.stop()


def test_soulstones_outlive_the_reactor_and_are_adopted(stage: Stage, arbiter: Arbiter) -> None:
    """W25."""
    arbiter.want("a")
    ups(stage, 1)
    there = arbiter.present()
    arbiter.stop()
    assert arbiter.present() == there
    arbiter.start()
    assert arbiter.present() == there
    arbiter.want("b")
    assert ups(stage, 2) == ["a", "b"]
    assert stage.said("overlap") == []


def test_stop_all_ends_every_soulstone_and_accepts_nothing_more(
    stage: Stage, arbiter: Arbiter
) -> None:
    """S16: no orphan survives the stop of a box."""
    arbiter.want("a")
    ups(stage, 1)
    assert arbiter.reactor.ask(StopAll(), timeout=10.0) is None
    assert stage.living() == {}
    intent = arbiter.intent("b")
    write_intent(stage.folders.intents, intent, arbiter.key)
    arbiter.reactor.tell(IntentPosted(id=intent.id))
    assert arbiter.reactor.ask(StopAll(), timeout=10.0) is None
    assert arbiter.present() == {}


def test_a_stop_does_not_wait_for_memory_that_others_hold(stage: Stage) -> None:
    """S16: the box stops at once, whatever the intent under way is waiting for."""
    oculus = LateDriver()
    oculus.foreign = 100 * MIB
    arbiter = Arbiter(stage, stage.box(stage.stone("a")), oculus)
    intent = arbiter.intent("a")
    write_intent(stage.folders.intents, intent, arbiter.key)
    arbiter.reactor.tell(IntentPosted(id=intent.id))
    eventually(lambda: oculus.reads > 3, what="the reactor waits for memory")
    assert arbiter.reactor.ask(StopAll(), timeout=10.0) is None
    hint = arbiter.hint(intent.id)
    assert hint == WorldChanged(
        reason="failed: given up: the box is being stopped", intent=intent.id
    )
    assert stage.said("up") == []
    arbiter.stop()


def test_a_new_configuration_is_taken_up_and_a_wrong_one_is_not(
    stage: Stage, arbiter: Arbiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G10: nothing is started or stopped for it, and only the new names are allowed."""
    arbiter.want("a")
    there = arbiter.present()
    new = stage.box(stage.stone("a", "children"), stage.stone("c"), capacity=151 * MIB)
    monkeypatch.setattr(reactor, "load", lambda path: {"new.toml": new}[path])
    arbiter.reactor.ask(ReloadConfig(path="new.toml"), timeout=5.0)
    refused(arbiter, arbiter.intent("b"), "no such soulstone")
    assert arbiter.present() == there

    def broken(_path: str) -> Box:
        raise ConfigErrors([])

    monkeypatch.setattr(reactor, "load", broken)
    arbiter.reactor.ask(ReloadConfig(path="broken.toml"), timeout=5.0)
    arbiter.want("c")


GAPS = [
    "accepted",
    "stopped",
    "announced",
    "spawned",
    "started",
    "before the end is noted",
    "after the end is noted",
]


@pytest.fixture
def subreaper() -> Iterator[None]:
    """This test's process stands in for the root: it inherits and reaps orphans."""
    become_subreaper()
    reaper = OrphanReaper(interval=0.02)
    yield
    reaper.close()
    become_subreaper(False)


@pytest.mark.parametrize("gap", GAPS)
def test_a_reactor_killed_anywhere_is_followed_by_one_that_finishes(
    subreaper: None, stage: Stage, gap: str
) -> None:
    """W25: SIGKILL at each gap; the next one ends with the target up once, the old gone."""
    arbiter = Arbiter(stage, crash_box(stage))
    arbiter.want("old")
    ups(stage, 1)
    arbiter.stop()
    intent = arbiter.intent("new")
    write_intent(stage.folders.intents, intent, arbiter.key)
    script = Path(__file__).with_name("crashing_reactor.py")
    doomed = subprocess.run(
        [sys.executable, str(script), str(stage.place), gap], timeout=30.0, check=False
    )
    assert doomed.returncode == -signal.SIGKILL
    arbiter.start()
    eventually(lambda: set(arbiter.present()) == {"new"}, 10.0, "only the new is present")
    assert ups(stage, 2) == ["old", "new"]
    eventually(lambda: os.listdir(stage.folders.intents) == [], what="the intent is done")
    assert set(stage.living().values()) == {"new"}
    assert stage.said("overlap") == []
    arbiter.want()
    assert stage.living() == {}
    arbiter.stop()
