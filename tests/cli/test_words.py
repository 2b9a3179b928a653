from datetime import datetime

import click
import pytest

from supervisor.cli import words
from supervisor.cli.times import clock, parse_instant
from supervisor.control.models import InstanceView
from supervisor.spec.records import ExitRecord


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0ms"), (0.9994, "999ms"), (1.25, "1.2s"), (59.6, "1m0s"), (3599, "59m59s"), (90061, "1d1h")],
)
def test_span(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(("micros", "text"), [(0, "0us"), (999, "999us"), (1500, "1.5ms"), (2_500_000, "2.50s")])
def test_micros(micros: int, text: str) -> None:
    assert words.micros(micros) == text


@pytest.mark.parametrize(
    ("size", "text"), [(None, "-"), (0, "0B"), (1023, "1023B"), (1024, "1.0K"), (2**20 * 345, "345M"), (2**45, "32.0T")]
)
def test_size(size: int | None, text: str) -> None:
    assert words.size(size) == text


def test_state_says_when_it_goes_on() -> None:
    view = InstanceView("web", "web", "backoff", ready=False, wanted=True, next_start_in_s=4.0, crash_loop=True)
    assert words.state_words(view) == "backoff (in 4.0s, crash loop)"


def test_instants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.cli.times.time.time", lambda: 10_000.0)
    assert parse_instant(None) is None
    assert parse_instant("10m") == 9400.0
    assert parse_instant("1738324800.5") == 1738324800.5
    assert parse_instant("1970-01-01T00:01:00+00:00") == 60.0
    assert parse_instant("1970-01-01T00:01Z") == 60.0
    assert parse_instant("-10m") == 9400.0
    assert parse_instant("now") == 10_000.0


def test_instants_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 3, 1, 12).astimezone().timestamp()
    monkeypatch.setattr("supervisor.cli.times.time.time", lambda: noon)
    found = [parse_instant(text) for text in ("today", "yesterday", "09:30", "09:30:15")]
    assert found == [noon - 12 * 3600, noon - 36 * 3600, noon - 9000, noon - 8985]


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "25:00", "²", "1e9", "inf"])
def test_no_instants(text: str) -> None:
    with pytest.raises(click.UsageError, match=r"cannot read .* as a time: it may be 10m \(ago\)"):
        parse_instant(text)


def test_a_time_that_no_calendar_has() -> None:
    assert clock(1e300) == "1e+300"


def test_what_a_probe_saw_is_cut_for_a_table() -> None:
    record = ExitRecord(1, "unhealthy", 0.0, probe="HTTP 404 " + "x" * 100)
    assert words.exit_words(record) == "unhealthy: HTTP 404 " + "x" * 38 + "…"
