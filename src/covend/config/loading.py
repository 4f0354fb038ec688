"""Reads a box file: all errors at once, or the box with every default filled in."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from covend.config.channels import file_channel_problem
from covend.config.checks import ENDPOINT, Checks
from covend.config.convert import Converter
from covend.config.errors import ConfigError, ConfigErrors, Path, show_path
from covend.config.folders import default_run_dir, default_state_dir
from covend.config.locate import line_at, lines_of
from covend.config.placeholders import PlaceholderError, expand, expand_command, plain_values
from covend.config.sections import INERTIA, SLA, WEIGHTS
from covend.config.structs import Box, Coven, Soulstone

MAX_FILE_BYTES = 1024 * 1024
"""A larger box file is a mistake: refused before it is parsed."""


def load(path: str | FilePath, environ: Mapping[str, str] | None = None) -> Box:
    """The box that the file at `path` describes; raises ConfigErrors with all that is wrong.

    Reads the file and, for `{package:…}`, the installed packages; starts nothing.
    `environ` stands in for the process's environment.
    """
    file = FilePath(path)
    return parse(_read(file), file, os.environ if environ is None else environ)


def parse(text: str, file: FilePath, environ: Mapping[str, str]) -> Box:
    """The box that `text` describes, as if it stood in `file`; raises ConfigErrors."""
    raw = _document(text, file)
    lines = lines_of(text)
    errors: list[ConfigError] = []

    def report(path: Path, message: str) -> None:
        errors.append(ConfigError(str(file), line_at(lines, path), show_path(path), message))

    converter = Converter(report)
    read = converter.struct(Box, raw)
    assert read is not None, "every field of a box has a default"
    box = _with_folders(read, file, environ)
    Checks(box, raw, converter, report).run()
    here = FilePath(os.path.abspath(file)).parent
    stones = tuple(
        _finish_soulstone(stone, converter.where[id(stone)], here, environ, report)
        for stone in box.soulstone
    )
    _check_commands(box, here, environ, report)
    _check_channels(box, environ, report)
    if errors:
        raise ConfigErrors(errors)
    return _finish(box, stones, here)


def _read(file: FilePath) -> str:
    """The file's text; only a regular file of bounded size is opened, so nothing can block."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigErrors([ConfigError(str(file), 0, "$", "is not a regular file")])
        if found.st_size > MAX_FILE_BYTES:
            size = f"has {found.st_size} bytes; a box file has at most {MAX_FILE_BYTES}"
            raise ConfigErrors([ConfigError(str(file), 0, "$", size)])
        data = file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        hint = "; `covend init` writes one" if isinstance(error, FileNotFoundError) else ""
        message = f"cannot be read: {reason}{hint}"
        raise ConfigErrors([ConfigError(str(file), 0, "$", message)]) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte {data[error.start]:#04x} is not UTF-8; a box file is TOML in UTF-8"
        raise ConfigErrors([ConfigError(str(file), line, "$", message)]) from error


def _document(text: str, file: FilePath) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        line = text.count("\n") + 1
        if place := re.search(r" \(at line (\d+), column (\d+)\)$", message):
            line = int(place[1])
            message = f"{message[: place.start()]} at column {place[2]}"
        message = message.removesuffix(" (at end of document)")
        message = f"not valid TOML: {message}"
    except RecursionError:
        line, message = 0, "not a box file: its arrays or tables are nested too deeply"
    except ValueError as error:  # an integer of thousands of digits
        line, message = 0, f"not valid TOML: {error}"
    raise ConfigErrors([ConfigError(str(file), line, "$", message)])


def _with_folders(box: Box, file: FilePath, environ: Mapping[str, str]) -> Box:
    here = os.path.dirname(os.path.abspath(file))
    return msgspec.structs.replace(
        box,
        source=os.path.abspath(file),
        run_dir=_absolute(here, box.run_dir) or default_run_dir(box.name, environ),
        state_dir=_absolute(here, box.state_dir) or default_state_dir(box.name, environ),
    )


def _absolute(here: str | FilePath, path: str) -> str:
    return os.path.normpath(os.path.join(here, os.path.expanduser(path))) if path else ""


def _finish_soulstone(
    stone: Soulstone, path: Path, here: FilePath, environ: Mapping[str, str], report: Any
) -> Soulstone:
    """The soulstone with its own defaults, and its placeholders expanded (errors reported)."""
    model = stone.model or stone.name
    if not ENDPOINT.fullmatch(stone.endpoint):
        return stone  # reported already; its {host} and {port} mean nothing
    values = plain_values(stone.name, model, stone.endpoint, here)

    def fill(text: str, *place: str | int) -> str:
        try:
            return expand(text, values, environ)
        except PlaceholderError as error:
            report((*path, *place), str(error))
            return text

    return msgspec.structs.replace(
        stone,
        model=model,
        serves=tuple(dict.fromkeys((stone.name, *stone.serves))),
        command=tuple(fill(word, "command", i) for i, word in enumerate(stone.command)),
        env={name: fill(value, "env", name) for name, value in stone.env.items()},
        cwd=None if stone.cwd is None else _absolute(here, fill(stone.cwd, "cwd")),
    )


def _check_commands(box: Box, here: FilePath, environ: Mapping[str, str], report: Any) -> None:
    """Report the placeholders of responders' commands that could not be filled in here."""
    for number, responder in enumerate(box.responder):
        try:
            expand_command(responder.command, here, environ)
        except PlaceholderError as error:
            report(("responder", number, "command"), str(error))


def _check_channels(box: Box, environ: Mapping[str, str], report: Any) -> None:
    """Report the channels of people through which nobody could be told (P18)."""
    for number, responder in enumerate(box.responder):
        for place, channel in enumerate(responder.channels):
            if problem := file_channel_problem(channel, environ):
                report(("responder", number, "channels", place), problem)


def _finish(box: Box, stones: tuple[Soulstone, ...], here: FilePath) -> Box:
    by_name = {stone.name: stone for stone in stones}
    whim, gate = box.whim, box.gate
    return msgspec.structs.replace(
        box,
        soulstone=stones,
        coven=tuple(_with_devices(coven, by_name) for coven in box.coven),
        lexical_reserve=box.lexical_reserve if any(stone.lexicon for stone in stones) else 0,
        whim=msgspec.structs.replace(
            whim,
            weights={**WEIGHTS, **whim.weights},
            inertia={**INERTIA, **whim.inertia},
            sla={**SLA, **whim.sla},
        ),
        gate=msgspec.structs.replace(
            gate,
            tls_cert=gate.tls_cert and _absolute(here, gate.tls_cert),
            tls_key=gate.tls_key and _absolute(here, gate.tls_key),
        ),
    )


def _with_devices(coven: Coven, stones: Mapping[str, Soulstone]) -> Coven:
    needed = [device for name in coven.soulstones for device in stones[name].memory]
    return msgspec.structs.replace(coven, devices=coven.devices or tuple(dict.fromkeys(needed)))
