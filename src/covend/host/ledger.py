"""The nonce ledger: each intent is carried out at most once, whatever happens to the reactor (W22).

An append-only text file, one line per fact, each with a checksum, on disk before anything is done
about it: ``accepted EXPIRES NONCE ID CRC`` when the reactor takes an intent, ``ended …`` when the
world shows its result. What was accepted and has not ended is what a crash interrupted.
"""

from __future__ import annotations

import logging
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from covend.host.folders import FolderError, replace_private, sync_folder
from covend.host.intent import Intent, IntentError

_log = logging.getLogger(__name__)
_COMPACT_LINES = 1000


@dataclass(frozen=True, slots=True)
class Accepted:
    """An intent the reactor took upon itself."""

    id: str
    nonce: str
    expires: float


class NonceLedger:
    """The nonces used, on disk. Belongs to one thread of one process at a time.

    A line cut off by a crash at the end of the file was never acted upon, and is dropped. Damage
    anywhere else may hide a nonce: then every intent issued before now is refused.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._floor = 0.0
        self._used: dict[str, Accepted] = {}
        self._open: dict[str, Accepted] = {}
        self._lines = 0
        self._load()
        self._compact()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)

    @property
    def interrupted(self) -> list[Accepted]:
        """What was accepted and has not ended, oldest first."""
        return list(self._open.values())

    def check(self, intent: Intent) -> None:
        """Raises ``IntentError`` when the nonce was used, or may have been."""
        if intent.nonce in self._used:
            raise IntentError(
                f"replayed: its nonce was used by intent {self._used[intent.nonce].id}"
            )
        if intent.issued <= self._floor:
            raise IntentError("issued before the nonce ledger was found damaged: issue it anew")

    def accept(self, intent: Intent) -> None:
        """Use up an intent's nonce; durable when this returns. Raises like ``check``."""
        self.check(intent)
        fact = Accepted(intent.id, intent.nonce, intent.expires)
        self._append("accepted", fact)
        self._used[fact.nonce] = self._open[fact.nonce] = fact

    def end(self, nonce: str) -> None:
        """The intent with this nonce needs nothing more; durable when this returns."""
        fact = self._open.pop(nonce, None)
        if fact is not None:
            self._append("ended", fact)
            if self._lines > _COMPACT_LINES:
                os.close(self._fd)
                self._compact()
                self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def _append(self, verb: str, fact: Accepted) -> None:
        line = _line(verb, fact)
        if os.write(self._fd, line) != len(line):
            raise OSError(f"{self._path}: short write; the disk is full")
        os.fdatasync(self._fd)
        self._lines += 1

    def _load(self) -> None:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise FolderError(f"the nonce ledger {self._path}: {error.strerror}") from None
        with os.fdopen(fd, "rb") as file:
            lines = file.read().split(b"\n")
        lines.pop()  # empty after the last newline, else a torn tail: never acted upon
        for number, line in enumerate(lines, 1):
            parsed = _parse(line)
            if parsed is None:
                _log.error("nonce ledger %s: line %d is damaged", self._path, number)
                self._floor = time.time()
                continue
            verb, fact = parsed
            if verb == "floor":
                self._floor = max(self._floor, fact.expires)
            elif verb == "accepted":
                self._used[fact.nonce] = self._open[fact.nonce] = fact
            else:
                self._open.pop(fact.nonce, None)

    def _compact(self) -> None:
        """Write the ledger anew, without what expired: an expired intent is refused anyway."""
        now = time.time()
        self._used = {
            nonce: fact
            for nonce, fact in self._used.items()
            if fact.expires >= now or nonce in self._open
        }
        lines: list[bytes] = []
        if self._floor:
            lines.append(_line("floor", Accepted("-", "-", self._floor)))
        for nonce, fact in self._used.items():
            lines.append(_line("accepted", fact))
            if nonce not in self._open:
                lines.append(_line("ended", fact))
        replace_private(self._path, b"".join(lines))
        sync_folder(self._path.parent)
        self._lines = len(lines)


def _line(verb: str, fact: Accepted) -> bytes:
    text = f"{verb} {fact.expires!r} {fact.nonce} {fact.id}".encode()
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _parse(line: bytes) -> tuple[str, Accepted] | None:
    text, _, crc = line.rpartition(b" ")
    if crc != b"%08x" % zlib.crc32(text):
        return None
    fields = text.decode("ascii", "replace").split(" ")
    if len(fields) != 4 or fields[0] not in ("accepted", "ended", "floor"):
        return None
    try:
        return fields[0], Accepted(id=fields[3], nonce=fields[2], expires=float(fields[1]))
    except ValueError:
        return None
