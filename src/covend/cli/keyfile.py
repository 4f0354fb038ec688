"""Adds keys to a box file and takes them out, leaving every other byte of it alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from covend.config import Box, ConfigErrors, Key, parse
from covend.config.locate import lines_of


class KeyFileError(Exception):
    """The box file cannot be changed that way; nothing was written."""


def hash_key(secret: str) -> str:
    """What is stored of a key: its SHA-256. Keys are random, so no salt or stretching is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add_key(path: Path, key: Key) -> None:
    """Append `key` to the box file; raises KeyFileError if the file would not hold with it."""
    text = _read(path)
    block = ["[[key]]", f"name = {_string(key.name)}", f"sha256 = {_string(key.sha256)}"]
    block.append(f"class = {_string(key.klass)}")
    if key.capabilities != ("*",):
        block.append(f"capabilities = [{', '.join(map(_string, key.capabilities))}]")
    if key.max_concurrent is not None:
        block.append(f"max_concurrent = {key.max_concurrent}")
    if key.per_minute is not None:
        block.append(f"per_minute = {key.per_minute}")
    if key.did is not None:
        block.append(f"did = {_string(key.did)}")
    after = text.rstrip("\n") + "\n\n" + "\n".join(block) + "\n"
    _checked(after, path)
    _replace(path, after)


def remove_key(path: Path, name: str) -> None:
    """Take the block of a key out; raises KeyFileError if there is none, or it stands otherwise."""
    text = _read(path)
    before = _checked(text, path)
    index = next((i for i, key in enumerate(before.key) if key.name == name), None)
    if index is None:
        names = ", ".join(key.name for key in before.key) or "none"
        raise KeyFileError(f"{path} has no key named {name!r}; there are: {names}")
    lines = text.splitlines(keepends=True)
    start = lines_of(text)["key", index] - 1
    if not re.match(r"\s*\[\[\s*key\s*\]\]", lines[start]):
        raise KeyFileError(f"{path}:{start + 1}: the key is not a [[key]] block; edit it by hand")
    end = start + 1
    while end < len(lines) and not re.match(r"\s*\[", lines[end]):
        end += 1
    while end > start + 1 and re.match(r"\s*(#|$)", lines[end - 1]):
        end -= 1  # a comment above the next block belongs to that one
    after = "".join((*lines[:start], *lines[end:])).rstrip("\n") + "\n"
    kept = tuple(key for key in before.key if key.name != name)
    if _checked(after, path) != msgspec.structs.replace(before, key=kept):
        raise KeyFileError(f"{path}:{start + 1}: more than the key would go; edit it by hand")
    _replace(path, after)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path} cannot be read: {error}") from error


def _checked(text: str, path: Path) -> Box:
    try:
        return parse(text, path, os.environ)
    except ConfigErrors as errors:
        raise KeyFileError(f"{path} would not hold:\n{errors}") from errors


def _replace(path: Path, text: str) -> None:
    """Write the file whole, so that a box that reads it never sees half of it.

    Its mode stays and, where that is allowed, its owner: who edits it is not always whose box it
    is.
    """
    real = path.resolve()  # a link stays a link
    try:
        before = real.stat()
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=real.parent, prefix=f".{real.name}.", delete=False
        ) as file:
            try:
                file.write(text)
                file.flush()
                with suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), before.st_mode & 0o777)
                os.fsync(file.fileno())
                os.replace(file.name, real)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from error


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
