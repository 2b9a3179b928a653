import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.spec.units import (
    UnitError,
    format_duration,
    format_size,
    parse_duration,
    parse_percent,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("500ms", 0.5),
        ("5m", 300.0),
        ("5min", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("1.5s", 1.5),
        ("250us", 0.00025),
        ("2d", 172800.0),
        ("1w", 604800.0),
        ("90", 90.0),
        ("-5s", -5.0),
        (3, 3.0),
        (0.25, 0.25),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    parsed = parse_duration(text)
    assert parsed == seconds
    assert isinstance(parsed, float)


@pytest.mark.parametrize(
    ("text", "message", "nearest"),
    [
        ("", "not a duration", None),
        ("s", "not a duration", None),
        ("10s!", "not a duration", None),
        ("--5s", "not a duration", None),
        ("٣s", "not a duration", None),
        ("1e9s", "unknown unit e", None),
        ("10 seconds", "unknown unit seconds", '"10s"'),
        ("5S", "unknown unit S", '"5s"'),
        ("1s2s", "unit s given twice", None),
        (float("inf"), "not a finite number", None),
        (float("nan"), "not a finite number", None),
    ],
)
def test_no_durations(text: str | float, message: str, nearest: str | None) -> None:
    with pytest.raises(UnitError) as caught:
        parse_duration(text)
    assert (str(caught.value), caught.value.nearest) == (message, nearest)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (5400, "1h30m"), (0.5, "500ms"), (61.5, "1m1s500ms"), (-2, "-2s"), (1e-7, "0.0000001s")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(
    st.floats(min_value=-1e9, max_value=1e9, allow_nan=False).filter(lambda number: abs(number) > 1e-25 or number == 0)
)
def test_duration_round_trip(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MiB", 268435456),
        ("10MB", 10_000_000),
        ("1GiB", 1073741824),
        ("1.5KiB", 1536),
        ("64 KiB", 65536),
        ("5kB", 5000),
        ("12", 12),
        ("12B", 12),
        (7, 7),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message", "nearest"),
    [
        ("256M", "unknown unit M", '"256MiB"'),
        ("256mib", "unknown unit mib", '"256MiB"'),
        ("12Q", "unknown unit Q", None),
        ("0.3B", "not a whole number of bytes", None),
        ("-1B", "not a size", None),
        ("MiB", "not a size", None),
        ("", "not a size", None),
    ],
)
def test_no_sizes(text: str, message: str, nearest: str | None) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(text)
    assert (str(caught.value), caught.value.nearest) == (message, nearest)


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_size_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_percent() -> None:
    assert parse_percent("50%") == 0.5
    assert parse_percent("12.5 %") == 0.125
    with pytest.raises(UnitError, match="not a percentage"):
        parse_percent("50")
