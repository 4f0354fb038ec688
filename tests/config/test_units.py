"""Sizes and durations as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covend.config import parse_seconds, parse_size, show_seconds, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("300MiB", 300 * 2**20), ("1.5GiB", 3 * 2**29), ("1.5 gib", 3 * 2**29),
        ("10GB", 10**10), ("64KiB", 65536), ("7B", 7), ("2tib", 2**41), (" 1MB ", 10**6),
    ],
)  # fmt: skip
def test_a_size_is_read_with_its_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.5", 0.5), ("500ms", 0.5), ("30s", 30), ("15min", 900), ("15 m", 900), ("2h", 7200),
     ("1d", 86400)],
)  # fmt: skip
def test_a_duration_is_read_with_its_unit(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "GiB", "-1s", "1e9", "1.s", "3 x", "٣s", "1 2", "0x10"])
def test_what_is_neither_is_refused(text):
    for parse in (parse_size, parse_seconds):
        with pytest.raises(ValueError, match="is not a"):
            parse(text)


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536 * 2**20, "1.5 GiB"), (2**41, "2 TiB")],
)
def test_a_size_is_shown_in_its_largest_unit(size, shown):
    assert show_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.44, "0.4 s"), (12, "12 s"), (59.7, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"),
     (86400 * 3 + 14400, "3 d 4 h")],
)  # fmt: skip
def test_a_duration_is_shown_in_its_two_largest_units(seconds, shown):
    assert show_seconds(seconds) == shown


@given(st.integers(0, 2**50))
def test_a_shown_size_reads_back_to_within_a_hundredth_of_its_unit(size):
    assert abs(parse_size(show_size(size)) - size) <= max(1, size / 100)
