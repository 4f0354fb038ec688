"""The nonce ledger: once is once, through crashes, torn tails and damage (W22)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covend.host import ledger as ledger_module
from covend.host.intent import IntentError, new_intent
from covend.host.ledger import NonceLedger


def reopened(ledger: NonceLedger, path: Path) -> NonceLedger:
    ledger.close()
    return NonceLedger(path)


def test_a_nonce_is_accepted_once_also_by_the_next_reactor(tmp_path: Path) -> None:
    path, intent = tmp_path / "nonces", new_intent("i-1", {}, [], 60.0)
    ledger = NonceLedger(path)
    ledger.accept(intent)
    with pytest.raises(IntentError, match=r"replayed.*i-1"):
        ledger.accept(intent)
    ledger = reopened(ledger, path)
    with pytest.raises(IntentError, match="replayed"):
        ledger.check(intent)
    assert [fact.nonce for fact in ledger.interrupted] == [intent.nonce]
    ledger.end(intent.nonce)
    ledger = reopened(ledger, path)
    assert ledger.interrupted == []
    with pytest.raises(IntentError, match="replayed"):
        ledger.check(intent)
    ledger.close()


def test_what_expired_leaves_the_ledger_and_what_was_interrupted_stays(tmp_path: Path) -> None:
    path = tmp_path / "nonces"
    ledger = NonceLedger(path)
    ended, interrupted = new_intent("old", {}, [], -1.0), new_intent("open", {}, [], -1.0)
    ledger.accept(ended)
    ledger.end(ended.nonce)
    ledger.accept(interrupted)
    ledger = reopened(ledger, path)
    assert [fact.id for fact in ledger.interrupted] == ["open"]
    assert ended.nonce not in path.read_text()
    ledger.close()


def test_the_ledger_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_COMPACT_LINES", 10)
    path = tmp_path / "nonces"
    ledger = NonceLedger(path)
    for number in range(30):
        intent = new_intent(f"i-{number}", {}, [], -1.0)
        ledger.accept(intent)
        ledger.end(intent.nonce)
    assert len(path.read_text().splitlines()) <= 12
    ledger.close()


def test_damage_inside_the_ledger_refuses_all_that_was_issued_before(tmp_path: Path) -> None:
    """W22: a nonce that may have been used counts as used."""
    path = tmp_path / "nonces"
    ledger = NonceLedger(path)
    used, unused = new_intent("used", {}, [], 60.0), new_intent("unused", {}, [], 60.0)
    ledger.accept(used)
    ledger.accept(new_intent("last", {}, [], 60.0))
    ledger.close()
    path.write_bytes(path.read_bytes().replace(used.nonce[:4].encode(), b"zzzz"))
    ledger = NonceLedger(path)
    for intent in (used, unused):
        with pytest.raises(IntentError, match="damaged"):
            ledger.check(intent)
    ledger = reopened(ledger, path)
    with pytest.raises(IntentError, match="damaged"):
        ledger.check(used)
    ledger.check(new_intent("new", {}, [], 60.0))
    ledger.close()


@given(cut=st.integers(0, 400), count=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_torn_tail_loses_only_the_line_that_was_never_acted_upon(cut: int, count: int) -> None:
    """W22: at whatever byte the last write was cut, every earlier nonce stays used."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nonces"
        ledger = NonceLedger(path)
        intents = [new_intent(f"i-{number}", {}, [], 60.0) for number in range(count)]
        for intent in intents:
            ledger.accept(intent)
        ledger.close()
        lines = path.read_bytes().splitlines(keepends=True)
        kept = b"".join(lines[:-1]) + lines[-1][: min(cut, len(lines[-1]) - 1)]
        path.write_bytes(kept)
        ledger = NonceLedger(path)
        for intent in intents[:-1]:
            with pytest.raises(IntentError, match="replayed"):
                ledger.check(intent)
        ledger.accept(intents[-1])
        ledger = reopened(ledger, path)
        assert [fact.id for fact in ledger.interrupted] == [intent.id for intent in intents]
        ledger.close()
