import pytest

from supervisor.policy.backoff import delay_s
from supervisor.policy.rules import rules
from supervisor.spec.model import Restart, Worker
from supervisor.spec.restart_limit import backoff_span_s, effective_reset_after_s


def test_reset_after() -> None:
    assert effective_reset_after_s(Restart()) == 60
    assert effective_reset_after_s(Restart(max_delay_s=300)) == 300
    assert effective_reset_after_s(Restart(max_delay_s=300, reset_after_s=5)) == 5


@pytest.mark.parametrize("restarts", [1, 2, 5, 12])
@pytest.mark.parametrize(
    "restart",
    [
        Restart(),
        Restart(delay_s=0, max_delay_s=60),
        Restart(factor=1.0),
        Restart(delay_s=90, max_delay_s=60),
        Restart(delay_s=1, factor=10, max_delay_s=50, jitter=0.5),
    ],
)
def test_span_is_the_sum_of_the_policys_longest_delays(restart: Restart, restarts: int) -> None:
    the_rules = rules(Worker(name="a", command=("x",), restart=restart))
    longest = sum(delay_s(attempt, the_rules, 1.0) for attempt in range(1, restarts + 1))
    assert backoff_span_s(restart, restarts) == pytest.approx(longest)


def test_many_restarts_are_summed_at_once() -> None:
    assert backoff_span_s(Restart(jitter=0), 10**12) == pytest.approx(60 * 10**12, rel=1e-6)
