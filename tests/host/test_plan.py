"""What the reactor makes of an intent, and what it refuses whoever signed it. Pure."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.config import Box, Coven, Device, Soulstone
from covend.host.intent import Intent, IntentError, StaleIntent
from covend.host.oculus import Reading
from covend.host.plan import Plan, judge, shortage
from covend.host.units import UnitState, spec_hash

GIB = 2**30


def stone(name: str, gib: int = 4, **more: object) -> Soulstone:
    facts: dict[str, object] = {
        "name": name,
        "endpoint": "http://127.0.0.1:1",
        "command": ("true",),
        "memory": {"gpu0": gib * GIB},
        **more,
    }
    return Soulstone(**facts)  # type: ignore[arg-type]


BOX = Box(
    device=(Device(name="gpu0", capacity=10 * GIB),),
    soulstone=(
        stone("a", stop_seconds=7.0),
        stone("a2", 2),
        stone("b"),
        stone("friend", 1),
        stone("huge", 8),
        stone("lex", 1, lexicon=True),
        stone("theirs", 1, authority="shared"),
    ),
    coven=(
        Coven(name="A", soulstones=("a", "a2"), devices=("gpu0",)),
        Coven(name="B", soulstones=("b",), devices=("gpu0",)),
        Coven(name="F", soulstones=("friend",), devices=("gpu0",), coexists=("B",)),
    ),
    lexical_reserve=2 * GIB,
)


def unit(name: str, pid: int, alive: bool = True) -> UnitState:
    spec = BOX.find_soulstone(name)
    return UnitState(
        name=name, pid=pid, create_time=1.0, started=1.0, alive=alive,
        spec_hash=spec_hash(spec) if spec else "", launch="", log="",
    )  # fmt: skip


def world(**pids: int) -> dict[str, UnitState]:
    return {name: unit(name, pid) for name, pid in pids.items()}


def intent(expected: dict[str, int], *target: str, kill: tuple[str, ...] = ()) -> Intent:
    return Intent(
        id="i", nonce="0" * 32, expected=expected, target=target, kill=kill, issued=0, expires=100.0
    )


def test_the_old_are_stopped_with_their_grace_and_only_the_missing_are_started() -> None:
    wanted = intent({"a": 1, "lex": 2}, "b", "lex")
    assert judge(wanted, world(a=1, lex=2), BOX, 50.0) == Plan({"a": 7.0}, ("b",))


def test_a_hard_reset_kills_without_grace_and_starts_anew() -> None:
    """W26: named in ``kill`` and in ``target``."""
    plan = judge(intent({"a": 1}, "a", kill=("a",)), world(a=1), BOX, 50.0)
    assert plan == Plan({"a": 0.0}, ("a",))


def test_the_dead_count_as_absent() -> None:
    there = {"a": unit("a", 1, alive=False)}
    assert judge(intent({}, "a"), there, BOX, 50.0) == Plan({}, ("a",))


@pytest.mark.parametrize(
    ("wanted", "there", "now", "reason"),
    [
        (intent({}, "a"), {}, 100.0, "expired"),
        (intent({}, "nobody"), {}, 50.0, "no such soulstone"),
        (intent({}, "theirs"), {}, 50.0, "is shared"),
        (intent({}, kill=("theirs",)), {}, 50.0, "is shared"),
        (intent({"a": 1}, "b"), {}, 50.0, "a should be pid 1 and is None"),
        (intent({}, "b"), world(a=1), 50.0, "a should be pid None and is 1"),
        (intent({"a": 1}, "b"), world(a=2), 50.0, "a should be pid 1 and is 2"),
        (intent({}, "a", "b"), {}, 50.0, "exclude each other"),
        (intent({}, "a", "friend"), {}, 50.0, "exclude each other"),
        (intent({}, "huge"), {}, 50.0, "9663676416 bytes are needed, 8589934592 can be had"),
        (intent({"lex": 2}, "b"), world(lex=2), 50.0, "lex is the lexicon"),
    ],
)
def test_what_must_not_be_is_refused_with_its_reason(
    wanted: Intent, there: dict[str, UnitState], now: float, reason: str
) -> None:
    """W1, W3, W4, W5, W22."""
    with pytest.raises(IntentError, match=reason):
        judge(wanted, there, BOX, now)


def test_covens_declared_to_coexist_may_be_resident_together() -> None:
    assert judge(intent({}, "b", "friend"), {}, BOX, 50.0).start == ("b", "friend")


def test_a_lexicon_goes_only_for_another_command() -> None:
    """W5, G10: it stays resident unless what runs is not what is configured."""
    there = {"lex": msgspec.structs.replace(unit("lex", 2), spec_hash="another")}
    assert judge(intent({"lex": 2}), there, BOX, 50.0).stop.keys() == {"lex"}


def test_only_a_world_that_moved_on_is_worth_asking_again() -> None:
    """W22: the reactor says so, and the arbiter asks again at no attempt's cost."""
    with pytest.raises(StaleIntent):
        judge(intent({"a": 1}, "a"), world(a=2), BOX, 50.0)
    with pytest.raises(IntentError) as told:
        judge(intent({"a": 1}, "nobody"), world(a=2), BOX, 50.0)
    assert not isinstance(told.value, StaleIntent)


def test_the_lexicon_can_be_reset() -> None:
    plan = judge(intent({"lex": 2}, "lex", kill=("lex",)), world(lex=2), BOX, 50.0)
    assert plan == Plan({"lex": 0.0}, ("lex",))


def test_an_interrupted_reset_does_not_kill_the_newborn() -> None:
    """W25: resumed, the same intent leads to the same world, and kills nobody twice."""
    wanted = intent({"a": 1}, "a", kill=("a",))
    assert judge(wanted, {}, BOX, 50.0, resumed=True) == Plan({}, ("a",))
    assert judge(wanted, world(a=9), BOX, 50.0, resumed=True) == Plan({}, ())


NAMES = st.sampled_from(["a", "a2", "b", "friend", "lex", "theirs", "unknown"])


@given(
    there=st.dictionaries(NAMES, st.integers(1, 9)),
    expected=st.none() | st.dictionaries(NAMES, st.integers(1, 9)),
    target=st.sets(NAMES),
    kill=st.sets(NAMES),
    resumed=st.booleans(),
)
def test_whatever_is_asked_no_plan_breaks_the_law(
    there: dict[str, int],
    expected: dict[str, int] | None,
    target: set[str],
    kill: set[str],
    resumed: bool,
) -> None:
    """W3, W4, W5: no plan touches a shared one, evicts the lexicon or mixes A and B.

    One that the configuration no longer knows is never started, and goes with the next plan (G10).
    """
    wanted = intent(there if expected is None else expected, *target, kill=tuple(kill))
    try:
        plan = judge(wanted, world(**there), BOX, 50.0, resumed)
    except IntentError:
        return
    touched = {*plan.stop, *plan.start}
    assert "theirs" not in touched
    assert "unknown" not in plan.start
    assert "lex" not in plan.stop or "lex" in kill
    after = (there.keys() - plan.stop.keys()) | set(plan.start)
    owned = after - {"theirs"}
    assert owned == target | (owned & {"lex"})
    assert not (owned & {"a", "a2"} and owned & {"b", "friend"})
    assert set(plan.start) <= target
    assert not (set(plan.start) & there.keys()) - plan.stop.keys()


def reading(foreign: int = 0, **soulstones: int) -> dict[str, Reading]:
    used = {name: gib * GIB for name, gib in soulstones.items()}
    return {
        "gpu0": Reading(device="gpu0", capacity=10 * GIB, soulstones=used, foreign=foreign * GIB)
    }


@pytest.mark.parametrize(
    ("names", "there", "readings", "fits"),
    [
        (("a", "a2"), {}, reading(), True),
        (("a", "a2"), {}, reading(foreign=2), True),
        (("a", "a2"), {}, reading(foreign=3), False),
        (("a",), {"b": 1}, reading(b=4), False),
        (("a2",), {"b": 1}, reading(b=1), True),
        (("a2",), {"b": 1}, reading(b=6), False),
        (("a", "a2"), {"lex": 1}, reading(lex=2), True),
        (("a", "a2"), {"lex": 1}, reading(foreign=1, lex=3), True),
        (("a", "a2"), {"lex": 1}, reading(foreign=2, lex=3), False),
    ],
)
def test_nothing_starts_beyond_the_measured_budget(
    names: tuple[str, ...], there: dict[str, int], readings: dict[str, Reading], fits: bool
) -> None:
    """W1: capacity − reserve − foreign − shared; declared or measured, whichever is more."""
    short = shortage(names, world(**there), BOX, readings)
    assert (short is None) == fits
    assert short is None or "short of capacity" in short
