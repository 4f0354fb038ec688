"""The responders of a configuration, and what keeps a responder from being asked (P8)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from covend import functions
from covend.config.channels import channel_problem
from covend.config.convert import problems_of
from covend.config.errors import Path, answers_no_chat, show_path
from covend.config.placeholders import unset_variables
from covend.config.queries import OWN, ResponderEntry, address_problems, lack
from covend.config.structs import Box
from covend.patterns.query.shape import schema_problem
from covend.patterns.responders.responder import Cost, Hours, Responder, to_data

RENAMED = {
    "name": "id",
    "sla_seconds": "sla_secs",
    "typical_delay_seconds": "typical_delay_secs",
}
"""What a box file calls otherwise than a query."""
NOT_IN_FILES = frozenset({"schema", "seen", "status", "alias_of"})
"""What no box file says of a responder."""


def from_config(box: Box) -> dict[str, Responder]:
    """The responders of a configuration: those it lists, and the box's own models that chat."""
    own = {f"{OWN}{name}": own_model(name, stones) for name, stones in box.answering().items()}
    return {**own, **{entry.name: from_entry(entry) for entry in box.responder}}


def own_model(name: str, soulstones: Sequence[str]) -> Responder:
    """A capability of the box as a responder: another name of the soulstone that serves it best."""
    best = soulstones[0]
    return Responder(
        id=f"{OWN}{name}",
        kind="llm",
        model=name,
        alias_of=None if name == best else f"{OWN}{best}",
        capabilities=(name,),
    )


def from_entry(entry: ResponderEntry) -> Responder:
    """A responder as its table of the box file says."""
    members = msgspec.structs.asdict(entry)
    for name, other in RENAMED.items():
        members[other] = members.pop(name)
    members["cost"] = Cost(**msgspec.structs.asdict(entry.cost))
    members["hours"] = entry.hours and Hours(**msgspec.structs.asdict(entry.hours))
    return Responder(**members)


def local_model(responder: Responder) -> str | None:
    """The capability of this box that a responder is, or None: it is none, or elsewhere."""
    return responder.model if responder.kind == "llm" and responder.endpoint is None else None


def problems(responder: Responder, box: Box) -> list[tuple[str, str]]:
    """What keeps a responder from being asked in this box, each with its path (P8)."""
    found = out_of_bounds(responder)
    if responder.alias_of is not None:
        found.append(("$.alias_of", "only the box says it, of its own models"))
    if responder.id.startswith(OWN):
        found.append(("$.id", f"ids that begin with {OWN} are those of the box's own models"))
    if lacking := lack(responder):
        member, wrong = lacking
        found.append((f"$.{member}", wrong))
    model, serving, answering = local_model(responder), box.serving(), box.answering()
    if model and model not in serving:
        there = ", ".join(sorted(serving)) or "nothing"
        problem = (
            f"no soulstone of this box serves {model!r}, it serves {there}; "
            "a model elsewhere needs its 'endpoint'"
        )
        found.append(("$.model", problem))
    elif model and model not in answering:
        found.append(("$.model", answers_no_chat(model, answering)))
    if responder.function is not None and (wrong := functions.problem(responder.function)):
        found.append(("$.function", wrong))
    found += [(f"$.{name}", wrong) for name, wrong in address_problems(responder)]
    for place, channel in enumerate(responder.channels):
        if wrong := channel_problem(channel):
            found.append((f"$.channels[{place}]", wrong))
    if responder.schema is not None and (wrong := schema_problem(responder.schema)):
        found.append(("$.schema", f"is no valid JSON Schema: {wrong}"))
    if responder.seen < 0:
        found.append(("$.seen", f"must be a clock, which is at least 0, not {responder.seen}"))
    if responder.api_key_env and responder.api_key_env not in os.environ:
        variable = responder.api_key_env
        found.append(("$.api_key_env", f"no variable {variable} is set in the core's environment"))
    return found


def absent_variables(box: Box, environ: Mapping[str, str]) -> list[str]:
    """What the file's responders need of the environment and is not set there, for people to read.

    No error: the file may be for another machine, and who lacks a key fails when it is asked.
    """
    return [
        f"responder {entry.name}: {_absence(name, environ)}, for its {member}"
        for entry in box.responder
        for member, name in missing_variables(entry, environ)
    ]


def missing_variables(
    responder: ResponderEntry | Responder, environ: Mapping[str, str]
) -> list[tuple[str, str]]:
    """What a responder needs of the environment and has not there, each once by the member.

    A key is not there either where its variable is empty: none would be sent. What a command
    lacks is an error of the file.
    """
    key = responder.api_key_env
    keys = [("api_key_env", key)] if key and not environ.get(key, "").strip() else []
    hooks = [name for channel in responder.channels for name in unset_variables(channel, environ)]
    return keys + [("channels", name) for name in dict.fromkeys(hooks)]


def _absence(name: str, environ: Mapping[str, str]) -> str:
    return f"the variable {name} is empty" if name in environ else f"no variable {name} is set"


def out_of_bounds(responder: Responder) -> list[tuple[str, str]]:
    """What a box file could not say of a responder either: the bounds are those of its tables."""
    members = to_data(responder)
    table = {name: members[name] for name in members if name not in NOT_IN_FILES}
    for name, other in RENAMED.items():
        if other in table:
            table[name] = table.pop(other)
    found = problems_of(ResponderEntry, table)
    return [(show_path(_as_asked(path)), problem) for path, problem in found if path]


def _as_asked(path: Path) -> Path:
    """The path of a box file's table as a query calls it."""
    first, *rest = path
    return (RENAMED.get(str(first), first), *rest)
