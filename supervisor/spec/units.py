"""Durations, sizes and percentages as people write them."""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

_SECONDS: Mapping[str, Fraction] = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
    "w": Fraction(604800),
}
_BYTES: Mapping[str, int] = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}
_NUMBER = r"[0-9]{1,30}(?:\.[0-9]{1,60})?"
_DURATION_PART = re.compile(rf"({_NUMBER})\s?([A-Za-zµ]+)\s?")
_QUANTITY = re.compile(rf"({_NUMBER})\s?([A-Za-z]*)")
_PERCENT = re.compile(rf"({_NUMBER})\s?%")

DURATION_FORM = '"10s", "500ms", "5m", "1h30m" or a number of seconds'
SIZE_FORM = '"256MiB", "10MB", "1GiB" or a number of bytes'
PERCENT_FORM = '"50%"'


class UnitError(ValueError):
    """Text that is no duration, size or percentage; `nearest` is what may have been meant."""

    def __init__(self, message: str, nearest: str | None = None) -> None:
        super().__init__(message)
        self.nearest = nearest


def parse_duration(text: str | float) -> float:
    """Seconds of "1h30m", "500ms", or of a bare number (seconds); a leading minus is taken. UnitError otherwise."""
    if not isinstance(text, str):
        return _finite(text)
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text)
    body = body.strip()
    if re.fullmatch(_NUMBER, body):
        return float(sign * Fraction(body))
    total, position, seen = Fraction(0), 0, set[str]()
    while part := _DURATION_PART.match(body, position):
        number, unit = part.groups()
        if unit not in _SECONDS:
            raise UnitError(f"unknown unit {unit}", _nearest_duration(number, unit))
        if unit in seen:
            raise UnitError(f"unit {unit} given twice")
        seen.add(unit)
        total += Fraction(number) * _SECONDS[unit]
        position = part.end()
    if not body or position != len(body):
        raise UnitError("not a duration")
    return float(sign * total)


def format_duration(seconds: float) -> str:
    """The shortest exact form: 5400 is "1h30m", 0.5 is "500ms". `parse_duration` gives the same number back."""
    exact = Decimal(repr(_finite(seconds)))
    if exact < 0:
        return f"-{format_duration(-seconds)}"
    whole, rest = divmod(exact, 1)
    parts = []
    left = int(whole)
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    if rest:
        for unit, per_second in (("ms", 1000), ("us", 1_000_000)):
            if rest * per_second == int(rest * per_second):
                return "".join([*parts, f"{int(rest * per_second)}{unit}"])
        return f"{exact:f}s"
    return "".join(parts) or "0s"


def parse_size(text: str | int) -> int:
    """Bytes of "256MiB", "10MB", or of a bare whole number. UnitError otherwise."""
    if not isinstance(text, str):
        return text
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise UnitError("not a size")
    number, unit = match.groups()
    if unit and unit not in _BYTES:
        raise UnitError(f"unknown unit {unit}", _nearest_size(number, unit))
    size = Fraction(number) * (_BYTES[unit] if unit else 1)
    if size.denominator != 1:
        raise UnitError("not a whole number of bytes")
    return int(size)


def format_size(size_bytes: int) -> str:
    """The largest unit that divides it: 268435456 is "256MiB". `parse_size` gives the same number back."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def parse_percent(text: str) -> float:
    """The fraction of one: "50%" is 0.5. UnitError otherwise."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise UnitError("not a percentage")
    return float(Fraction(match.group(1)) / 100)


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise UnitError("not a finite number")
    return float(seconds)


def _nearest_duration(number: str, unit: str) -> str | None:
    meant = {
        "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "usec": "us", "µs": "us",
        "mins": "m", "minute": "m", "minutes": "m", "hr": "h", "hour": "h", "hours": "h", "day": "d", "days": "d",
        "week": "w", "weeks": "w",
    }  # fmt: skip
    known = meant.get(unit.lower()) or (unit.lower() if unit.lower() in _SECONDS else None)
    return f'"{number}{known}"' if known else None


def _nearest_size(number: str, unit: str) -> str | None:
    prefix = unit[0].upper()
    return f'"{number}{prefix}iB"' if prefix in "KMGT" else None
