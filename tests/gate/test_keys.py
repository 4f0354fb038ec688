"""API keys: who, in which class, for what, how often (G7, W7)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.config import Box, GateLimits, Key
from covend.gate.errors import Refusal
from covend.gate.keys import Keys, credential, effective_class, is_loopback
from covend.gate.tally import Tally
from covend.protocol import CLASSES


def key(name: str = "k", **more: object) -> Key:
    return Key(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), **more)  # type: ignore[arg-type]


def test_a_known_key_is_found_and_an_unknown_one_is_refused_from_outside() -> None:
    """G7."""
    keys = Keys(Box(key=(key("alice"), key("bob"))))
    found = keys.account(b"bob", loopback=False)
    assert found is not None and found.key.name == "bob"
    for wrong in (None, b"eve", b""):
        with pytest.raises(Refusal) as caught:
            keys.account(wrong, loopback=False)
        assert caught.value.status == 401


def test_this_machine_needs_no_key_unless_the_box_says_so() -> None:
    """G7."""
    assert Keys(Box(key=(key(),))).account(b"placeholder", loopback=True) is None
    strict = Keys(Box(key=(key(),), gate=GateLimits(require_key_on_loopback=True)))
    with pytest.raises(Refusal):
        strict.account(None, loopback=True)


@pytest.mark.parametrize("own", CLASSES)
@pytest.mark.parametrize("asked", [None, *CLASSES])
def test_nobody_raises_itself_above_its_key(own: str, asked: str | None) -> None:
    """W7."""
    account = Keys(Box(key=(key(klass=own),))).account(b"k", loopback=False)
    header = asked.encode() if asked else None
    got = effective_class(account, header, "reflex")
    assert CLASSES.index(got) >= CLASSES.index(own)
    assert got == (asked if asked and CLASSES.index(asked) > CLASSES.index(own) else own)


def test_without_a_key_the_header_decides_and_else_the_route() -> None:
    """W7."""
    assert effective_class(None, b"Swarm", "ingest") == "swarm"
    assert effective_class(None, None, "ingest") == "ingest"
    with pytest.raises(Refusal, match="reflex, ritual, ingest, swarm"):
        effective_class(None, b"\xffurgent", "ingest")


def test_a_keys_limits_hold_and_are_given_back() -> None:
    """G7."""
    keys = Keys(Box(key=(key(capabilities=("chat-*",), max_concurrent=2, per_minute=3),)))
    account = keys.account(b"k", loopback=False)
    assert account is not None
    with pytest.raises(Refusal) as caught:
        account.begin("embed", 0.0)
    assert caught.value.status == 403
    account.begin("chat-a", 0.0)
    account.begin("chat-b", 1.0)
    with pytest.raises(Refusal) as caught:
        account.begin("chat-a", 2.0)
    assert (caught.value.status, caught.value.code) == (429, "too_many_at_once")
    account.end()
    account.begin("chat-a", 3.0)
    account.end()
    with pytest.raises(Refusal) as caught:
        account.begin("chat-a", 30.0)
    assert (caught.value.code, caught.value.retry_after) == ("too_many_per_minute", 30.0)
    account.begin("chat-a", 60.0)


def test_a_keys_limits_are_the_boxs_however_many_gates_it_has(tmp_path: Path) -> None:
    """G7: what one gate has in hand counts at the other, until that gate is started anew."""
    box = Box(gates=2, run_dir=str(tmp_path), key=(key(max_concurrent=2, per_minute=4),))
    one, two = (Keys(box, gate=f"gate-{n}").account(b"k", loopback=False) for n in range(2))
    assert one is not None and two is not None
    one.begin("x", 10.5)
    two.begin("x", 20.0)
    for account in (one, two):
        with pytest.raises(Refusal, match="has 2 requests in hand; its limit is 2"):
            account.begin("x", 21.0)
    one.end()
    two.begin("x", 22.0)
    reborn = Keys(box, gate="gate-1").account(b"k", loopback=False)
    assert reborn is not None and one.tally.active == 0
    reborn.begin("x", 23.0)
    with pytest.raises(Refusal) as caught:
        one.begin("x", 70.0)
    assert (caught.value.code, caught.value.retry_after) == ("too_many_per_minute", 1.0)
    one.begin("x", 71.0)


@given(st.lists(st.floats(0.0, 40.0), max_size=40))
def test_no_minute_ever_sees_more_than_its_limit(pauses: list[float]) -> None:
    """G7: counted by seconds, and never one too many for it; a minute later all is forgotten."""
    tally, now, times = Tally(None), 100.0, list[float]()
    for pause in pauses:
        now += pause
        tally.note(now)
        if tally.minute(now)[0] > 3:
            tally.note(now, -1)
        else:
            times.append(now)
    assert all(later - first >= 60 for first, later in zip(times, times[3:], strict=False))
    assert tally.minute(now + 62)[0] == 0


def test_a_reload_keeps_the_counts_of_keys_that_stay() -> None:
    """G10."""
    before = Keys(Box(key=(key(max_concurrent=1),)))
    account = before.account(b"k", loopback=False)
    assert account is not None
    account.begin("x", 0.0)
    after = Keys(Box(key=(key(max_concurrent=2), key("new"))), before)
    assert after.account(b"k", loopback=False) is account
    assert account.key.max_concurrent == 2 and account.tally.active == 1


def test_both_ways_to_send_a_key_are_understood() -> None:
    assert credential(b"Bearer abc", None) == b"abc"
    assert credential(b"bearer abc ", b"x") == b"abc"
    assert credential(None, b"abc") == b"abc"
    assert credential(b"Basic abc", None) is None


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 1), True),
        (("127.9.9.9", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        ("", True),
    ],
)
def test_loopback_is_this_machine_only(peer: object, local: bool) -> None:
    assert is_loopback(peer) == local
