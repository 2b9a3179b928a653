"""What follows from a restart table by arithmetic."""

from supervisor.spec.model import Restart

_LEAST_RESET_AFTER_S = 60.0


def effective_reset_after_s(restart: Restart) -> float:
    """How long a worker must have been ready for its failures to be forgotten."""
    if restart.reset_after_s is not None:
        return restart.reset_after_s
    return max(_LEAST_RESET_AFTER_S, restart.max_delay_s)


def backoff_span_s(restart: Restart, restarts: int) -> float:
    """From the exit that leads to the first of so many restarts to the one that is refused.

    For a worker that dies at once each time, and the longest delays that jitter may make.
    """
    total, delay = 0.0, min(restart.delay_s, restart.max_delay_s)
    for left in range(restarts, 0, -1):
        if delay >= restart.max_delay_s or restart.factor == 1 or delay == 0:
            total += delay * left
            break
        total += delay
        delay = min(delay * restart.factor, restart.max_delay_s)
    return total * (1 + restart.jitter)
