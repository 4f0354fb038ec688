"""The types that the tables of a box file share, with their units and bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from covend.patterns.query.spec import MAX_LATENCY_SECS, MAX_PRICE_USD

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

Class = Literal["reflex", "ritual", "ingest", "swarm"]
Discipline = Literal["titan", "kinetic", "weaver"]

Size = Annotated[
    int,
    Meta(
        ge=0,
        extra={"unit": "size"},
        extra_json_schema={"examples": ["300MiB", "1.5GiB"]},
    ),
]
Seconds = Annotated[
    float,
    Meta(
        ge=0,
        extra={"unit": "seconds"},
        extra_json_schema={"examples": [2.5, "30s", "15min"]},
    ),
]
Interval = Annotated[
    float,
    Meta(
        ge=0.001,
        extra={"unit": "seconds"},
        extra_json_schema={"examples": [2.5, "30s", "15min"]},
    ),
]
Buffer = Annotated[
    int,
    Meta(
        ge=1024,
        extra={"unit": "size"},
        extra_json_schema={"examples": ["32KiB"]},
    ),
]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")]
Capability = Annotated[str, Meta(pattern=r"^[^\s\x00-\x1f]{1,200}$")]
Did = Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,200}$")]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Dollars = Annotated[float, Meta(ge=0, le=MAX_PRICE_USD)]
Patience = Annotated[
    float,
    Meta(
        ge=0,
        le=MAX_LATENCY_SECS,
        extra={"unit": "seconds"},
        extra_json_schema={"examples": [60, "15min", "2h"]},
    ),
]
