"""What a row of probes means."""

import pytest

from supervisor.policy.health import Health, observe

STARTING = Health(since=100.0)
HEALTHY = Health(100.0, "healthy", 0, "fine")
UNHEALTHY = Health(100.0, "unhealthy", 3, "HTTP 503")


@pytest.mark.parametrize(
    ("health", "ok", "now", "after", "news"),
    [
        (STARTING, True, 101.0, Health(100.0, "healthy", 0, "x"), "healthy"),
        (HEALTHY, True, 101.0, Health(100.0, "healthy", 0, "x"), None),
        (UNHEALTHY, True, 101.0, Health(100.0, "healthy", 0, "x"), "healthy"),
        (Health(100.0, "healthy", 2), True, 101.0, Health(100.0, "healthy", 0, "x"), None),
        (STARTING, False, 109.9, Health(100.0, "starting", 0, "x"), None),
        (STARTING, False, 110.0, Health(100.0, "starting", 1, "x"), None),
        (Health(100.0, "starting", 2), False, 110.0, Health(100.0, "unhealthy", 3, "x"), "unhealthy"),
        (HEALTHY, False, 101.0, Health(100.0, "healthy", 1, "x"), None),
        (Health(100.0, "healthy", 2), False, 101.0, Health(100.0, "unhealthy", 3, "x"), "unhealthy"),
        (UNHEALTHY, False, 101.0, Health(100.0, "unhealthy", 4, "x"), None),
    ],
)
def test_an_answer(health: Health, ok: bool, now: float, after: Health, news: str | None) -> None:
    assert observe(health, ok=ok, seen="x", now=now, retries=3, start_period_s=10.0) == (after, news)
