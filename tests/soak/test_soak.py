"""One minute of it; `make soak` is an hour."""

import pytest

from tests.soak.__main__ import under_systemd
from tests.soak.report import table, verdict
from tests.soak.workload import line
from tests.torture import workload
from tests.vehicles.user_manager import cannot_start

SECONDS, SEED = 60.0, 1  # what is asked for is the same each time; when, depends on the machine


def test_a_minute_under_a_real_user_manager() -> None:
    if (reason := cannot_start()) is not None:
        pytest.skip(reason)
    report = under_systemd(SECONDS, SEED, print)
    assert not report.broken, "\n".join([table(report), verdict(report)])
    assert report.figures["operations"] > 10
    assert report.figures["launches"] > 30
    assert report.figures["lines"] > 1000


def test_the_workloads_write_the_same_lines() -> None:
    assert all(line(3, number) == workload.line(3, number) for number in range(1, 100))
