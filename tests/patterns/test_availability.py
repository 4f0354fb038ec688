"""P9: whether a responder can be asked at one moment, and what is said of it then (P8)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.patterns.sample_runs import DAY, NOON, llm, person

from covend.patterns.responders.availability import absence, is_available
from covend.patterns.responders.responder import Hours
from covend.patterns.responders.view import responder_view
from covend.patterns.state import SECOND

OFFICE = Hours(days=(0, 1, 2, 3, 4), start=9.0, end=17.0, utc_offset=1.0)
NIGHT = Hours(days=(4,), start=22.0, end=6.0)
HOUR = 3600 * SECOND
MONDAY = NOON + 2 * DAY - 12 * HOUR


@pytest.mark.parametrize(
    ("hours", "now", "there"),
    [
        (OFFICE, MONDAY + 8 * HOUR, True),  # 9:00 there
        (OFFICE, MONDAY + 8 * HOUR - 1, False),
        (OFFICE, MONDAY + 16 * HOUR - 1, True),
        (OFFICE, MONDAY + 16 * HOUR, False),  # 17:00 there
        (OFFICE, NOON, False),  # Saturday
        (OFFICE, NOON - DAY, True),  # Friday
        (Hours(days=(5,), start=0.0, end=24.0), NOON, True),
        (Hours(days=(5,), start=0.0, end=24.0), MONDAY - DAY - 1, True),
        (Hours(days=(5,), start=0.0, end=24.0), MONDAY - DAY, False),
        (Hours(days=(6,), start=0.0, end=2.0, utc_offset=14.0), NOON - HOUR, True),
        (NIGHT, NOON - 13 * HOUR, True),  # Friday 23:00
        (NIGHT, NOON - 7 * HOUR, True),  # Saturday 5:00, a shift that began on Friday
        (NIGHT, NOON - 6 * HOUR, False),  # Saturday 6:00
        (NIGHT, NOON + 11 * HOUR, False),  # Saturday 23:00
    ],
)
def test_hours_are_local_and_end_when_they_end(hours: Hours, now: int, there: bool) -> None:
    """P9: the availability filter respects hours."""
    assert is_available(person(hours=hours), now) is there


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, None),
        ({"hours": OFFICE}, "outside its hours"),
        ({"available": False}, "switched off, or it failed too often of late"),
        ({"available": False, "hours": OFFICE}, "switched off, or it failed too often of late"),
        ({"status": "retired", "available": False}, "retired"),
    ],
)
def test_who_is_absent_is_so_for_a_reason(more: dict[str, Any], why: str | None) -> None:
    """P8, P9: one reason, and only where it is not available."""
    one = person(**more)
    assert absence(one, NOON) == why
    view = responder_view(msgspec.to_builtins(one), NOON)
    assert (view["available"], view["why"]) == (why is None, why)


def test_what_is_shown_of_a_responder_leaves_out_where_it_is() -> None:
    """P8: addresses are the box's own business."""
    one = llm("a", endpoint="http://127.0.0.1:1/secret", domains=("law",))
    view = responder_view(msgspec.to_builtins(one), NOON)
    assert (view["id"], view["kind"], view["is"], view["domains"]) == ("a", "llm", "chat", ["law"])
    assert "secret" not in str(view)


def test_a_variable_that_a_responder_lacks_is_shown() -> None:
    """P8: by its name; it is there for all that the box knows of it otherwise."""
    one = msgspec.to_builtins(llm("a", api_key_env="KEY"))
    assert responder_view(one, NOON)["missing_env"] == []
    view = responder_view({**one, "missing_env": ["KEY"]}, NOON)
    assert (view["missing_env"], view["available"], view["why"]) == (["KEY"], True, None)


def test_another_name_of_a_model_is_shown_as_such() -> None:
    """P9: who asks for two opinions sees which are of one model."""
    view = responder_view(msgspec.to_builtins(llm("model:chat", alias_of="model:big")), NOON)
    assert view["is"] == "model:big"
