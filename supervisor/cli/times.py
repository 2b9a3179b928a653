"""Times of day: printed in the local zone, read in several forms."""

import time
from datetime import datetime

import click


def clock(instant: float) -> str:
    """2025-01-31 12:00:00.123, local."""
    return datetime.fromtimestamp(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def parse_instant(text: str | None) -> float | None:
    """Seconds since the epoch of "10m" (ago), "2025-01-31T12:00" (local) or "1738324800". Raises click.UsageError."""
    if text is None:
        return None
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass  # then it is a duration
    from supervisor.spec.units import UnitError, parse_duration  # noqa: PLC0415

    try:
        return time.time() - parse_duration(text)
    except UnitError:
        forms = "10m (ago), 2025-01-31T12:00 or seconds since the epoch"
        raise click.UsageError(f"cannot read {text!r} as a time: it may be {forms}") from None
