"""How long to wait before a restart."""

import math

from supervisor.policy.rules import Rules


def delay_s(attempt: int, rules: Rules, jitter: float) -> float:
    """Seconds before the restart that is the `attempt`th in a row (from 1) to be delayed.

    delay, delay*factor … max_delay; `jitter`, drawn from [0, 1), then adds up to the fraction `rules.jitter`.
    """
    return capped_s(attempt, rules) * (1 + rules.jitter * jitter)


def capped_s(attempt: int, rules: Rules) -> float:
    """Return the same without jitter. Compared as logarithms: factor**attempt overflows after some days of failures."""
    first, longest = rules.delay_s, rules.max_delay_s
    if first <= 0 or longest <= 0:
        return 0.0
    if (attempt - 1) * math.log(rules.factor) >= math.log(longest) - math.log(first):
        return longest
    return first * rules.factor ** (attempt - 1)
