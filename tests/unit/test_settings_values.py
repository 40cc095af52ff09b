"""Values of the station file: durations, decimals and clock times become integers, and nothing else passes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from agent.settings.model import SalesSettings
from agent.settings.values import (
    DurationMs,
    LitresMl,
    MinutesOfDay,
    PriceMilli,
    TimeZone,
    duration_ms,
    scaled_decimal,
    size_bytes,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0ms", 0), ("120ms", 120), ("5s", 5_000), ("10min", 600_000), ("24h", 86_400_000), ("35d", 3_024_000_000)],
)
def test_durations_are_milliseconds(text: str, expected: int) -> None:
    """Each unit once."""
    assert duration_ms(text) == expected


@pytest.mark.parametrize(
    "value", ["", "5", "5 s", "5S", "-5s", "1.5s", "5sec", "٥s", "9999999999s", 5, 5.0, True, None]
)
def test_anything_else_is_no_duration(value: Any) -> None:
    """Without a unit nobody knows what was meant; the message shows how to write one."""
    with pytest.raises(ValueError, match="with a unit"):
        duration_ms(value)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("64 MB", 67_108_864), ("64MB", 67_108_864), ("2 GB", 2_147_483_648)]
)
def test_sizes_are_bytes(text: str, expected: int) -> None:
    """A megabyte is 1,048,576 bytes; none needs no unit."""
    assert size_bytes(text) == expected


@pytest.mark.parametrize("value", ["", "64", "64 mb", "64  MB", "-1 MB", "1.5 GB", "99999 MB", "64 KB", 64, None])
def test_anything_else_is_no_size(value: Any) -> None:
    """The message shows how to write one."""
    with pytest.raises(ValueError, match='such as "64 MB"'):
        size_bytes(value)


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [("7.85", 3, 7_850), ("7.850000", 3, 7_850), (7, 3, 7_000), ("0", 2, 0), ("-20", 3, -20_000), ("100", 0, 100)],
)
def test_decimals_become_integers_exactly(value: Any, places: int, expected: int) -> None:
    """Trailing zeros are no decimals; whole numbers need no quotes."""
    assert scaled_decimal(value, places, "a price") == expected


@pytest.mark.parametrize(
    "value",
    [
        7.85,
        True,
        None,
        "",
        "7,85",
        "7.",
        ".5",
        "1e3",
        "1e999999",
        "NaN",
        "Infinity",
        " 7",
        "٧",
        "1_000",
        "9" * 5_000,
        10**12,
    ],
)
def test_anything_else_is_no_decimal(value: Any) -> None:
    """Floats, exponents, commas and numbers of absurd length are refused, quickly."""
    with pytest.raises(ValueError, match="decimal"):
        scaled_decimal(value, 3, "a price")


def test_too_many_decimals_are_not_rounded_away() -> None:
    """A price of four decimals cannot be charged, so it is an error."""
    with pytest.raises(ValueError, match="more than 3 decimals"):
        scaled_decimal("7.8505", 3, "a price")


@given(st.integers(min_value=-999_999_999_999, max_value=999_999_999_999))
def test_decimals_come_back_as_written(number: int) -> None:
    """Any number of thousandths, written with three decimals, is read as itself."""
    sign, magnitude = ("-" if number < 0 else ""), abs(number)
    assert scaled_decimal(f"{sign}{magnitude // 1000}.{magnitude % 1000:03d}", 3, "a volume") == number


@pytest.mark.parametrize(
    ("kind", "good", "value", "bad"),
    [
        (PriceMilli, "7.85", 7_850, ["0", "-1", 0]),
        (LitresMl, "30000", 30_000_000, ["-0.001"]),
        (MinutesOfDay, "06:30", 390, ["6:30", "24:00", "06:60", 630, ""]),
        (TimeZone, "Asia/Shanghai", "Asia/Shanghai", ["Asia/Atlantis", "", "/etc/passwd", "../UTC", "a" * 5_000, 8]),
        (DurationMs, "1s", 1_000, ["1"]),
    ],
)
def test_the_types_of_the_file_know_their_limits(kind: Any, good: Any, value: Any, bad: list[Any]) -> None:
    """Each type reads its example and refuses its counter-examples with a validation error."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    assert adapter.validate_python(good) == value
    for item in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(item)


def test_a_settlement_waits_no_longer_than_its_window_whatever_the_clock_says() -> None:
    """A sale of 2026 on a clock that has fallen back to 1970 settles when its window is over, not in 56 years."""
    sales = SalesSettings.model_validate({"settle_after": "60s", "link_after": "5min"})
    assert sales.settles_in_ms(1_000_000, 990_000) == 10_000
    assert sales.settles_in_ms(1_000_000, 2_000_000) == 0
    assert sales.settles_in_ms(1_767_600_000_000, 5_000) == 300_000
