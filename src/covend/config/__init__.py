"""The box file: one TOML file that says what a box is made of.

`load(path)` gives a `Box`, or raises `ConfigErrors` with everything that is wrong at once.
"""

from covend.config.changes import Changes, Delta, diff
from covend.config.errors import ConfigError, ConfigErrors
from covend.config.lastgood import load_or_last_good, remember
from covend.config.loading import load, parse
from covend.config.placeholders import PlaceholderError, expand_command, expand_env
from covend.config.queries import OfficeHours, Price, Queries, Records, ResponderEntry, SchemaEntry
from covend.config.schema import schema_text
from covend.config.sections import (
    Alerts,
    GateLimits,
    IngestWindow,
    Oculus,
    Reactor,
    TransitionLimits,
    Watchdog,
    Whim,
)
from covend.config.structs import Box, Coven, Device, Key, Role, Soulstone
from covend.config.types import GIB, KIB, MIB
from covend.config.units import parse_seconds, parse_size, show_seconds, show_size

__all__ = [
    "GIB",
    "KIB",
    "MIB",
    "Alerts",
    "Box",
    "Changes",
    "ConfigError",
    "ConfigErrors",
    "Coven",
    "Delta",
    "Device",
    "GateLimits",
    "IngestWindow",
    "Key",
    "Oculus",
    "OfficeHours",
    "PlaceholderError",
    "Price",
    "Queries",
    "Reactor",
    "Records",
    "ResponderEntry",
    "Role",
    "SchemaEntry",
    "Soulstone",
    "TransitionLimits",
    "Watchdog",
    "Whim",
    "diff",
    "expand_command",
    "expand_env",
    "load",
    "load_or_last_good",
    "parse",
    "parse_seconds",
    "parse_size",
    "remember",
    "schema_text",
    "show_seconds",
    "show_size",
]
