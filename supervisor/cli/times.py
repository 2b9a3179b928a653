"""Times of day: printed in the local zone, read in several forms."""

import re
import time
from datetime import datetime, timedelta
from datetime import time as clock_time

import click

FORMS = "10m (ago), 2025-01-31T12:00, 12:00, now, today, yesterday, or seconds since the epoch"
DAYS_AGO = {"today": 0, "yesterday": 1}
CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?")


def clock(instant: float) -> str:
    """2025-01-31 12:00:00.123, local. What no calendar has, from a file that somebody wrote into: the number."""
    try:
        return datetime.fromtimestamp(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return f"{instant:g}"


def parse_instant(text: str | None) -> float | None:
    """Seconds since the epoch of what FORMS says; without a zone it is local. Raises click.UsageError."""
    if text is None:
        return None
    now = time.time()
    today = datetime.fromtimestamp(now).astimezone().date()
    try:
        if text.isascii() and text.replace(".", "", 1).isdigit():
            return float(text)
        if text in DAYS_AGO:
            midnight = datetime.combine(today, clock_time()) - timedelta(days=DAYS_AGO[text])
            return midnight.timestamp()
        if CLOCK.fullmatch(text):
            return datetime.combine(today, clock_time.fromisoformat(text)).timestamp()
        return now if text == "now" else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        pass  # then it is a duration
    from supervisor.spec.units import UnitError, parse_duration  # noqa: PLC0415

    try:
        return now - parse_duration(text.removeprefix("-"))  # as journalctl has it
    except UnitError:
        raise click.UsageError(f"cannot read {text!r} as a time: it may be {FORMS}") from None
