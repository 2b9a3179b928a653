"""20 of the rounds; `make torture` does 200."""

import pytest

from tests.torture.__main__ import table, torture
from tests.vehicles.user_manager import cannot_start

ROUNDS, SEED = 20, 3  # the seed is fixed: what is asked for, and when, is the same each time


def test_the_daemon_killed_at_random_moments_under_a_real_user_manager() -> None:
    if (reason := cannot_start()) is not None:
        pytest.skip(reason)
    report = torture(ROUNDS, SEED)
    assert not report.broken, "\n".join([table(report), *report.broken])
    assert report.rounds == ROUNDS
    assert report.figures["adoptions"] > ROUNDS
    assert report.figures["lines"] > 1000
