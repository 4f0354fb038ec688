"""The addresses through which people are told, as far as they can be judged unsent (P18)."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

from covend.config.errors import did_you_mean
from covend.config.placeholders import PlaceholderError, expand, unset_variables

FAMILIAR = frozenset(
    ("discord", "gotify", "gotifys", "json", "jsons", "mailto", "mailtos", "matrix", "matrixs",
     "mmost", "mmosts", "ntfy", "ntfys", "rocket", "rockets", "signal", "signals", "slack",
     "tgram", "xmpp", "xmpps")
)  # fmt: skip
"""Some schemes of apprise, which is asked for the others alone: it takes a third of a second."""
HIGHEST_PORT = 65535
_ADDRESS = re.compile(r"([a-z0-9][a-z0-9_+.-]{0,30})://([^/?#]*)", re.IGNORECASE)
_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*):([0-9]+)")
_PORT_MEMBER = re.compile(r"[?&]port=([0-9]+)", re.IGNORECASE)


def channel_problem(channel: str) -> str | None:
    """What keeps apprise from sending to this address, or None; never what follows its scheme."""
    address = _ADDRESS.match(channel)
    if address is None:
        return "must be an apprise address, such as mailto://, json:// or slack:// and more"
    scheme = address[1].lower()
    if scheme not in FAMILIAR and (problem := _strange(scheme, channel)):
        return problem
    ports = (_PORT.fullmatch(address[2].rpartition("@")[2]), _PORT_MEMBER.search(channel))
    for found in ports:
        if found and not 0 < int(found[1][:6]) <= HIGHEST_PORT:
            return f"has a port that is none: it must be 1 to {HIGHEST_PORT}"
    return None


def file_channel_problem(channel: str, environ: Mapping[str, str]) -> str | None:
    """The same of a channel in a box file, with its ``{env:VAR}`` filled in.

    A variable that is not set may stand for anything that fits: it is warned of elsewhere.
    """
    unset = unset_variables(channel, environ)
    if unset and channel.startswith("{"):
        return None
    try:
        return channel_problem(
            expand(channel, {}, ChainMap(dict.fromkeys(unset, "1"), {**environ}))
        )
    except PlaceholderError as error:
        return str(error)


def _strange(scheme: str, channel: str) -> str | None:
    """Whether apprise knows it: by its scheme, or as a service's own address (https://…)."""
    from apprise.manager_plugins import NotificationManager

    manager: Any = NotificationManager()  # its types are partly unknown
    known: list[str] = sorted(manager.schemas())
    if scheme in known or any(plugin.parse_native_url(channel) for plugin in manager.plugins()):
        return None
    if scheme in ("http", "https"):
        return "is of no service that apprise knows; a webhook of your own is json:// or jsons://"
    return f"begins with {scheme}://, which apprise does not know{did_you_mean(scheme, known)}"
