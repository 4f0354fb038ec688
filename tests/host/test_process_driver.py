"""The process driver on real processes: none survives its stop, none is lost, none is mistaken."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from queue import SimpleQueue

import msgspec
import pytest

from covend.config import Soulstone
from covend.host import process_driver
from covend.host.driver import Adoption, DriverError
from covend.host.process_driver import ProcessDriver
from covend.host.units import UnitState, observe, records, spec_hash, write_record
from covend.testing.waiting import eventually

from .conftest import Stage

Exits = SimpleQueue[tuple[UnitState, int | None]]


class Drivers:
    """Makes drivers as successive reactors would, and hears the exits they report."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.exits: Exits = SimpleQueue()
        self.made: list[ProcessDriver] = []

    def __call__(self, *stones: Soulstone) -> ProcessDriver:
        driver = ProcessDriver(
            self.stage.folders,
            {stone.name: stone for stone in stones},
            lambda unit, status: self.exits.put((unit, status)),
        )
        self.made.append(driver)
        return driver


@pytest.fixture
def drivers(stage: Stage) -> Iterator[Drivers]:
    made = Drivers(stage)
    yield made
    for driver in made.made:
        driver.close()


def up(stage: Stage, count: int = 1) -> None:
    eventually(lambda: len(stage.said("up")) == count, what=f"{count} soulstones are up")


def test_a_started_soulstone_is_seen_by_anybody_who_reads_the_records(
    stage: Stage, drivers: Drivers
) -> None:
    stone = stage.stone("a")
    unit = drivers(stone).start("a")
    up(stage)
    assert observe(stage.folders.units) == {"a": unit}
    assert unit.alive
    assert unit.spec_hash == spec_hash(stone)
    assert stage.living() == {unit.pid: "a"}
    assert os.getsid(unit.pid) == unit.pid


def test_a_changed_command_changes_the_hash_and_a_changed_budget_does_not(stage: Stage) -> None:
    stone = stage.stone("a")
    assert spec_hash(stone) != spec_hash(stage.stone("a", "more"))
    assert spec_hash(stone) != spec_hash(msgspec.structs.replace(stone, env={"A": "b"}))
    assert spec_hash(stone) == spec_hash(msgspec.structs.replace(stone, slots=9))


@pytest.mark.parametrize(
    "options", [(), ("children",), ("stubborn",), ("children", "stubborn"), ("daemon",)]
)
def test_a_stop_ends_every_process_however_stubborn(
    stage: Stage, drivers: Drivers, options: tuple[str, ...]
) -> None:
    """S16: also what ignores SIGTERM, a child in a session of its own, and a daemon."""
    driver = drivers(stage.stone("a", *options))
    driver.start("a")
    up(stage)
    if "children" in options:
        eventually(lambda: len(stage.living()) == 3, what="the children are there")
    if "daemon" in options:
        eventually(lambda: len(stage.said("daemon")) == 1, what="the daemon is there")
        assert len(stage.living()) == 2
    driver.stop("a", 0.05 if "stubborn" in options else 5.0)
    assert stage.living() == {}
    assert driver.observe() == {}
    assert drivers.exits.empty()


def test_what_cannot_be_started_says_why_and_leaves_nothing(stage: Stage, drivers: Drivers) -> None:
    missing = msgspec.structs.replace(stage.stone("a"), command=("/no/such/program",))
    driver = drivers(missing, stage.stone("s", authority="shared"), stage.stone("b"))
    with pytest.raises(DriverError, match=r"a: cannot start .*/no/such/program.*No such file"):
        driver.start("a")
    assert driver.observe() == {}
    with pytest.raises(DriverError, match="not in the configuration"):
        driver.start("nobody")
    driver.start("b")
    with pytest.raises(DriverError, match="runs already, as pid"):
        driver.start("b")


def test_a_shared_soulstone_is_never_started_nor_stopped(stage: Stage, drivers: Drivers) -> None:
    """W4."""
    stone = stage.stone("a")
    driver = drivers(stone)
    unit = driver.start("a")
    driver.configure({"a": msgspec.structs.replace(stone, authority="shared")})
    with pytest.raises(DriverError, match="never starts"):
        driver.start("a")
    with pytest.raises(DriverError, match="never stops"):
        driver.stop("a", 0.0)
    assert driver.adopt() == Adoption((), ())
    assert unit.process.alive()


def test_a_death_is_told_once_with_its_status(stage: Stage, drivers: Drivers) -> None:
    driver = drivers(stage.stone("a"))
    unit = driver.start("a")
    up(stage)
    unit.process.kill()
    assert drivers.exits.get(timeout=5.0) == (unit, -signal.SIGKILL)
    assert not driver.observe()["a"].alive
    assert driver.start("a").pid != unit.pid
    assert drivers.exits.empty()


def test_the_next_reactor_adopts_and_hears_of_the_death(stage: Stage, drivers: Drivers) -> None:
    """W25."""
    first = drivers(stage.stone("a"))
    unit = first.start("a")
    first.close()
    second = drivers(stage.stone("a"))
    assert second.adopt() == Adoption(("a",), ())
    assert unit.process.alive()
    unit.process.kill()
    assert drivers.exits.get(timeout=5.0)[0] == unit
    assert drivers.exits.empty()


def test_a_stranger_with_the_recorded_pid_is_neither_adopted_nor_ended(
    stage: Stage, drivers: Drivers, own_pid: int
) -> None:
    """W25: pid and create time, never pid alone. The stranger is this very test."""
    driver = drivers(stage.stone("a"))
    driver.start("a")
    driver.stop("a", 5.0)
    driver.start("a")
    (record,) = records(stage.folders.units)
    driver.stop("a", 5.0)
    write_record(stage.folders.units, msgspec.structs.replace(record, pid=own_pid))
    assert not driver.observe()["a"].alive
    assert drivers(stage.stone("a")).adopt() == Adoption((), ())
    assert driver.observe() == {}


def test_a_record_of_another_boot_names_nobody(stage: Stage, drivers: Drivers) -> None:
    driver = drivers(stage.stone("a"))
    unit = driver.start("a")
    (record,) = records(stage.folders.units)
    write_record(stage.folders.units, msgspec.structs.replace(record, boot="another"))
    assert not driver.observe()["a"].alive
    write_record(stage.folders.units, record)
    assert driver.observe()["a"] == unit


def test_a_process_whose_record_was_lost_is_reaped(stage: Stage, drivers: Drivers) -> None:
    """W25: what belongs to nobody, children in other sessions included."""
    drivers(stage.stone("a", "children")).start("a")
    eventually(lambda: len(stage.living()) == 3, what="the children are there")
    (stage.folders.units / "a.json").write_text("torn{")
    adoption = drivers(stage.stone("a")).adopt()
    assert adoption.adopted == ()
    assert set(adoption.reaped) == {"a"}
    assert stage.living() == {}


def test_a_soulstone_that_left_the_configuration_is_ended(stage: Stage, drivers: Drivers) -> None:
    drivers(stage.stone("a")).start("a")
    assert drivers().adopt() == Adoption((), ("a",))
    assert stage.living() == {}


def test_a_crash_between_start_and_record_loses_nobody(
    stage: Stage, drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W25: the record from before the start leads to the process by its mark."""

    class Crash(BaseException):
        pass

    def write_once(units: object, record: object) -> None:
        if getattr(record, "pid", 0):
            raise Crash
        write_record(stage.folders.units, record)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(process_driver, "write_record", write_once)
        with pytest.raises(Crash):
            drivers(stage.stone("a", "children")).start("a")
    eventually(lambda: len(stage.living()) == 3, what="the children are there")
    seen = observe(stage.folders.units)["a"]
    assert seen.alive
    second = drivers(stage.stone("a"))
    assert second.adopt() == Adoption(("a",), ())
    (record,) = records(stage.folders.units)
    assert record.pid == seen.pid
    second.stop("a", 5.0)
    assert stage.living() == {}


def test_a_crash_before_the_start_leaves_nothing_to_see(stage: Stage, drivers: Drivers) -> None:
    driver = drivers(stage.stone("a"))
    driver.start("a")
    (record,) = records(stage.folders.units)
    driver.stop("a", 5.0)
    write_record(
        stage.folders.units, msgspec.structs.replace(record, pid=0, create_time=0.0, launch="x")
    )
    assert driver.observe() == {}
    assert driver.adopt() == Adoption((), ())
    assert list(records(stage.folders.units)) == []
