"""The delay before a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.policy.backoff import delay_s
from supervisor.policy.rules import Rules


def test_it_grows_to_the_longest() -> None:
    rules = Rules(delay_s=0.5, factor=3.0, max_delay_s=10.0)
    assert [delay_s(attempt, rules, 0.0) for attempt in range(1, 6)] == [0.5, 1.5, 4.5, 10.0, 10.0]


def test_jitter_only_adds() -> None:
    rules = Rules(delay_s=10.0, jitter=0.2)
    assert delay_s(1, rules, 0.0) == 10.0
    assert delay_s(1, rules, 0.5) == pytest.approx(11.0)


def test_a_first_delay_above_the_longest_is_the_longest() -> None:
    assert delay_s(1, Rules(delay_s=90.0, max_delay_s=60.0), 0.0) == 60.0


@pytest.mark.parametrize("rules", [Rules(delay_s=0.0), Rules(max_delay_s=0.0)])
def test_no_delay(rules: Rules) -> None:
    assert delay_s(9, rules, 0.9) == 0.0


@given(
    attempt=st.integers(1, 10**9),
    delay=st.floats(0.0, 1e6),
    factor=st.floats(1.0, 100.0),
    longest=st.floats(0.0, 1e6),
    jitter=st.floats(0.0, 1.0, exclude_max=True),
)
def test_it_never_overflows_shrinks_or_exceeds(
    attempt: int, delay: float, factor: float, longest: float, jitter: float
) -> None:
    rules = Rules(delay_s=delay, factor=factor, max_delay_s=longest, jitter=0.1)
    now, later = delay_s(attempt, rules, jitter), delay_s(attempt + 1, rules, jitter)
    assert now <= later * (1 + 1e-9)
    assert 0.0 <= later <= longest * 1.1 * (1 + 1e-9)
