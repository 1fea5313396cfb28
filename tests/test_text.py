"""Quantities as people read them."""

from __future__ import annotations

import pytest

from forebay import text


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (18_240, "18.2 kB"),
        (182_400, "182 kB"),
        (999_499, "999 kB"),
        (999_600, "1.00 MB"),
        (4_100_000_000, "4.10 GB"),
        (25 * 10**12, "25.0 TB"),
        (5 * 10**16, "50000 TB"),
    ],
)
def test_sizes_have_three_digits(count: int, shown: str) -> None:
    assert text.size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (0.0004, "0.4 ms"),
        (0.41, "0.41 s"),
        (12.34, "12.3 s"),
        (59.99, "1 min 00 s"),
        (125, "2 min 05 s"),
        (4020, "1 h 07 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_stay_short(value: float, shown: str) -> None:
    assert text.seconds(value) == shown


@pytest.mark.parametrize(
    ("gone", "shown"),
    [(-5, "now"), (0.2, "now"), (40, "40 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"),
     (86400 * 9, "9 d"), (86400 * 30, "4 w")],
)  # fmt: skip
def test_ages_have_one_unit(gone: float, shown: str) -> None:
    assert text.age(1_000_000.0, 1_000_000.0 + gone) == shown


def test_an_unknown_time_is_told_as_such() -> None:
    assert text.age(0.0, 1e9) == "-"
    assert text.moment(0.0) == "unknown"


@pytest.mark.parametrize(
    ("value", "noun", "shown"),
    [(0, "entry", "0 entries"), (1, "entry", "1 entry"), (2, "entry", "2 entries"), (1234, "shard", "1,234 shards")],
)
def test_nouns_agree_with_numbers(value: int, noun: str, shown: str) -> None:
    assert text.counted(value, noun) == shown


def test_a_line_is_one_line() -> None:
    assert text.one_line(" a\n  b\tc\r\n") == "a b c"
