"""The placeholders of `command`, `env` and `cwd`.

| written | becomes |
|---|---|
| `{python}` | the interpreter that runs covend |
| `{name}`, `{model}` | the soulstone's name, and the model name its server knows |
| `{endpoint}`, `{host}`, `{port}` | its endpoint, and the parts of it |
| `{here}`, `{home}` | the folder of the box file, and the user's home |
| `{env:VAR}` | an environment variable of `covend serve`, which must be set |
| `{package:PACKAGE/FILE}` | a file inside an installed Python package, which is not imported |

`{{port}}` stands for the text `{port}`. Every other brace is left alone, so that JSON arguments
need no escaping.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from covend.config.errors import did_you_mean

_PLACEHOLDER = re.compile(r"\{\{([a-z_]+(?::[^{}]*)?)\}\}|\{([a-z_]+)(?::([^{}]*))?\}")
_WITH_ARGUMENT = {"env": "{env:VAR}", "package": "{package:PACKAGE/FILE}"}
NAMES = ("python", "name", "model", "endpoint", "host", "port", "here", "home", *_WITH_ARGUMENT)


class PlaceholderError(ValueError):
    """A placeholder that cannot be filled in; the text says why and what would be right."""


def expand(text: str, values: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """`text` with its placeholders filled in, the plain ones from `values`; or PlaceholderError."""

    def fill(match: re.Match[str]) -> str:
        literal, name, argument = match[1], match[2], match[3]
        if literal is not None:
            return "{" + literal + "}"
        if name in _WITH_ARGUMENT:
            if not argument:
                raise PlaceholderError(f"{{{name}}} needs an argument: {_WITH_ARGUMENT[name]}")
            return _variable(argument, environ) if name == "env" else _package_file(argument)
        if name not in values or argument is not None:
            hint = did_you_mean(name, NAMES)
            raise PlaceholderError(
                f"unknown placeholder {match[0]}{hint} (write {{{match[0]}}} for the text itself)"
            )
        return values[name]

    return _PLACEHOLDER.sub(fill, text)


def unset_variables(text: str, environ: Mapping[str, str]) -> list[str]:
    """The variables that `text` names as `{env:VAR}` and that are not set."""
    named = [match[3] for match in _PLACEHOLDER.finditer(text) if match[2] == "env"]
    return [name for name in named if name and name not in environ]


def expand_env(text: str) -> str:
    """`text` with its `{env:VAR}` filled in from this process's environment.

    For secrets, which are put in where they are used and kept nowhere. Raises PlaceholderError.
    """
    return expand(text, {}, os.environ)


def expand_command(
    command: Sequence[str], here: Path, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """A responder's command with its placeholders filled in, as it is run; or PlaceholderError.

    Kept as it is written until then: a plan that names `{python}` means that of any box, and what
    `{env:VAR}` stands for gets into no record.
    """
    return tuple(expand(word, _place(here), environ) for word in command)


def _place(here: Path) -> dict[str, str]:
    return {"python": sys.executable, "here": str(here), "home": os.path.expanduser("~")}


def plain_values(name: str, model: str, endpoint: str, here: Path) -> dict[str, str]:
    """What the placeholders without argument stand for, for one soulstone."""
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    return {
        **_place(here),
        "name": name,
        "model": model,
        "endpoint": endpoint,
        "host": host.strip("[]"),
        "port": port,
    }


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise PlaceholderError(f"the environment variable {name} is not set")
    return environ[name]


def _package_file(argument: str) -> str:
    package, _, inner = argument.partition("/")
    if not inner or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", package):
        raise PlaceholderError(f"{{package:{argument}}} must be {_WITH_ARGUMENT['package']}")
    # Only a top-level name is looked up: finding a submodule would import its parents.
    top, *below = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise PlaceholderError(f"the Python package {top!r} is not installed in {sys.prefix}")
    folders = [Path(folder, *below) for folder in spec.submodule_search_locations]
    for folder in folders:
        if (folder / inner).is_file():
            return str(folder / inner)
    found = sorted(
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    )
    raise PlaceholderError(
        f"no file {inner!r} in the package {package!r}{did_you_mean(inner, found)}"
    )
