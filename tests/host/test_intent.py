"""Intent files: only what the box itself wrote, whole, is ever read as an intent (W22)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from covend.host.folders import write_private
from covend.host.intent import (
    MAX_BYTES,
    Intent,
    IntentError,
    claim,
    new_intent,
    pending,
    read_intent,
    seal,
    unseal,
    withdraw,
    write_intent,
)

KEY = bytes(range(32))
INTENT = new_intent("i-1", {"a": 17}, ["b"], 60.0, kill=["a"])
SEALED = seal(INTENT, KEY)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = write_intent(tmp_path, INTENT, KEY)
    assert read_intent(path, KEY) == INTENT
    assert pending(tmp_path) == [path]
    assert os.listdir(tmp_path) == ["i-1.intent"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_pending_intents_come_oldest_first_without_those_being_written(tmp_path: Path) -> None:
    for number, name in enumerate(["b.intent", "a.intent", ".c.intent.part"]):
        write_private(tmp_path / name, b"")
        os.utime(tmp_path / name, ns=(number, number))
    assert [path.name for path in pending(tmp_path)] == ["b.intent", "a.intent"]


def test_an_intent_is_either_claimed_or_withdrawn_never_both(tmp_path: Path) -> None:
    """W22, W25: who withdrew first is told that nothing is in hand; who claimed first, keeps it."""
    path = write_intent(tmp_path, INTENT, KEY)
    assert withdraw(tmp_path)
    assert claim(path) is None
    claimed = claim(write_intent(tmp_path, INTENT, KEY))
    assert claimed is not None
    assert not withdraw(tmp_path)
    assert read_intent(claimed, KEY) == INTENT
    assert pending(tmp_path) == []
    claimed.unlink()
    assert withdraw(tmp_path)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HOSTILE: list[tuple[Callable[[Path], object], str]] = [
    (link, "symbolic link"),
    (replace_by_pipe, "not a regular file"),
    (replace_by_folder, "not a regular file"),
    (lambda path: path.chmod(0o604), "chmod 600"),
    (lambda path: os.link(path, path.with_name("second")), "2 names"),
    (lambda path: os.truncate(path, MAX_BYTES + 1), f"{MAX_BYTES} are allowed"),
    (lambda path: path.write_bytes(b""), "torn or no intent"),
    (lambda path: path.write_bytes(SEALED[:-1]), "wrong MAC"),
    (lambda path: path.write_bytes(SEALED[:40]), "torn or no intent"),
    (lambda path: path.write_bytes(seal(INTENT, KEY[::-1])), "wrong MAC"),
    (lambda path: path.unlink(), "No such file"),
]


@pytest.mark.parametrize(("spoil", "reason"), HOSTILE)
def test_a_hostile_file_is_refused_with_its_reason(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    path = write_intent(tmp_path, INTENT, KEY)
    spoil(path)
    with pytest.raises(IntentError, match=reason):
        read_intent(path, KEY)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_intent(tmp_path, INTENT, KEY)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(IntentError, match=f"belongs to user {me}"):
        read_intent(path, KEY)


def test_an_authentic_file_under_another_name_is_refused(tmp_path: Path) -> None:
    path = write_intent(tmp_path, INTENT, KEY)
    with pytest.raises(IntentError, match="name does not match"):
        read_intent(path.rename(tmp_path / "i-2.intent"), KEY)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not an intent"),
        (b"\xff\xfe", "not an intent"),
        (SEALED.partition(b"\n")[2][:-1] + b',"then":1}', "unknown field `then`"),
        (SEALED.partition(b"\n")[2].replace(b'["b"]', b'"b"'), "Expected `array`"),
        (SEALED.partition(b"\n")[2].replace(b"i-1", b"../1"), "letters, digits"),
        (SEALED.partition(b"\n")[2].replace(INTENT.nonce.encode(), b"short"), "nonce"),
    ],
)
def test_an_authentic_body_that_is_no_intent_is_refused(body: bytes, reason: str) -> None:
    import hmac

    sealed = b"covend-intent-1 " + hmac.digest(KEY, body, "sha256").hex().encode() + b"\n" + body
    with pytest.raises(IntentError, match=reason):
        unseal(sealed, KEY)


def test_an_id_that_is_no_file_name_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        write_intent(tmp_path, new_intent("../x", {}, [], 1.0), KEY)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_corruption_of_an_intents_bytes_is_ever_accepted(data: st.DataObject) -> None:
    """W22: flipped, cut, inserted, repeated bytes: all are refused, none raises anything else."""
    spoiled = bytearray(SEALED)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(spoiled) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"])):
            case "flip" if spoiled:
                spoiled[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del spoiled[at : at + data.draw(st.integers(1, 80))]
            case "insert":
                spoiled[at:at] = data.draw(st.binary(min_size=1, max_size=20))
            case _:
                spoiled += spoiled[at : at + 40]
    if bytes(spoiled) != SEALED:
        with pytest.raises(IntentError):
            unseal(bytes(spoiled), KEY)


@given(st.binary(max_size=400))
@example(b"covend-intent-1 " + b"0" * 64 + b"\n{}")
def test_no_arbitrary_bytes_are_an_intent(data: bytes) -> None:
    with pytest.raises(IntentError):
        unseal(data, KEY)


NAMES = st.text("abcdef-", min_size=1, max_size=8)


@given(
    expected=st.dictionaries(NAMES, st.integers(1, 2**22)),
    target=st.sets(NAMES),
    kill=st.sets(NAMES),
    seconds=st.floats(0, 1e6),
)
@settings(max_examples=50, deadline=None)
def test_any_intent_survives_its_file(
    expected: dict[str, int], target: set[str], kill: set[str], seconds: float
) -> None:
    intent = new_intent("i", expected, target, seconds, kill)
    with tempfile.TemporaryDirectory() as folder:
        assert read_intent(write_intent(Path(folder), intent, KEY), KEY) == intent
    assert isinstance(intent, Intent)
