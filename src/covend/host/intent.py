"""Intents: how the arbiter tells the reactor what is to be resident (W22).

An intent is one small file, written whole, that says what the writer saw and what it wants. Its
first line carries a MAC over the bytes of the second, so nothing that was not written with the
box's key is even parsed. There is no answer file: the result is what the world then shows.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from covend.host.folders import FolderError, read_private, replace_private
from covend.resolving import resolved

SUFFIX = ".intent"
CLAIMED = ".claimed"
"""The suffix of an intent that the reactor has in hand: its writer cannot take it back any more."""

MAX_BYTES = 64 * 1024
_MAGIC = b"covend-intent-1 "
_MAC_HEX = 64
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_NONCE = re.compile(r"[0-9a-f]{16,64}", re.ASCII)


class IntentError(Exception):
    """Why an intent is refused; nothing on the host changed for it."""


class StaleIntent(IntentError):
    """The world is another one than the writer saw: it may look again, and ask again."""


class Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What shall be resident, said once.

    ``expected`` maps each soulstone that was present to the pid of its process. ``target`` names
    every soulstone that covend manages and that shall be present. ``kill`` names those whose
    process is to be ended without grace; one that is in ``target`` as well is started anew (a
    hard reset, W26). ``issued`` and ``expires`` are Unix times in seconds.
    """

    id: str
    nonce: str
    expected: dict[str, int]
    target: tuple[str, ...]
    expires: float
    kill: tuple[str, ...] = ()
    issued: float = msgspec.field(default_factory=time.time)


def new_intent(
    id: str,
    expected: Mapping[str, int],
    target: Iterable[str],
    seconds: float,
    kill: Iterable[str] = (),
) -> Intent:
    """An intent issued now, good for ``seconds``, with a fresh nonce."""
    now = time.time()
    return Intent(
        id=id,
        nonce=secrets.token_hex(16),
        expected=dict(expected),
        target=tuple(sorted(target)),
        expires=now + seconds,
        kill=tuple(sorted(kill)),
        issued=now,
    )


def seal(intent: Intent, key: bytes) -> bytes:
    """The bytes of an intent's file: magic and MAC on the first line, JSON on the second."""
    body = msgspec.json.encode(intent, order="deterministic")
    return _MAGIC + _mac(body, key) + b"\n" + body


def unseal(data: bytes, key: bytes) -> Intent:
    """The intent in a file's bytes; raises ``IntentError`` unless every byte of it is authentic."""
    head, newline, body = data.partition(b"\n")
    if not newline or not head.startswith(_MAGIC) or len(head) != len(_MAGIC) + _MAC_HEX:
        raise IntentError(f"torn or no intent: the first line must be {_MAGIC.decode()!r} + MAC")
    if not hmac.compare_digest(head[len(_MAGIC) :], _mac(body, key)):
        raise IntentError("wrong MAC: changed after it was written, or written with another key")
    try:
        intent = msgspec.json.decode(body, type=resolved(Intent))
    except msgspec.MsgspecError as error:
        raise IntentError(f"not an intent: {error}") from None
    if not _ID.fullmatch(intent.id):
        raise IntentError(f"id {intent.id[:80]!r}: letters, digits, '.', '_', '-', at most 64")
    if not _NONCE.fullmatch(intent.nonce):
        raise IntentError("nonce: 16 to 64 hexadecimal digits are needed")
    return intent


def write_intent(folder: Path, intent: Intent, key: bytes) -> Path:
    """Leave an intent for the reactor: whole, durable, under its final name at once (W22)."""
    if not _ID.fullmatch(intent.id):
        raise ValueError(f"intent id {intent.id!r}: letters, digits, '.', '_', '-', at most 64")
    path = folder / f"{intent.id}{SUFFIX}"
    replace_private(path, seal(intent, key))
    return path


def read_intent(path: Path, key: bytes) -> Intent:
    """The intent in a file, if the file and all in it can be trusted (W22).

    Raises ``IntentError`` with the reason. Whether the intent may be carried out *now* (expiry,
    replay, allow-list, expected world) is ``covend.host.plan.judge``'s and the ledger's to say.
    """
    try:
        intent = unseal(read_private(path, MAX_BYTES), key)
    except FolderError as error:
        raise IntentError(str(error)) from None
    if path.stem != intent.id:
        raise IntentError(f"the file's name does not match the id {intent.id!r} inside it")
    return intent


def claim(path: Path) -> Path | None:
    """Take an intent out of its writer's reach; None if it was withdrawn. One of the two wins."""
    taken = path.with_suffix(CLAIMED)
    try:
        path.rename(taken)
    except FileNotFoundError:
        return None
    return taken


def withdraw(folder: Path) -> bool:
    """Take back every intent not yet claimed; True when none is in the reactor's hand either.

    Who reopens what an intent may still stop must hear True first (W24, W25).
    """
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)
    # Looked for in a second pass: a claim during the first one may have hidden both its names.
    return not any(folder.glob(f"*{CLAIMED}"))


def pending(folder: Path) -> list[Path]:
    """What lies in the intent folder, oldest first, but for what is claimed or being written."""
    found: list[tuple[int, str]] = []
    for entry in os.scandir(folder):
        if entry.name.startswith(".") or entry.name.endswith(CLAIMED):
            continue
        try:
            found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
        except FileNotFoundError:
            continue  # withdrawn meanwhile
    return [folder / name for _, name in sorted(found)]


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, "sha256").hex().encode()
