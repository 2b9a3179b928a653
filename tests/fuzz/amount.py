"""How many examples: the same few in each run of the suite, many and others each time by `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

NAME = "NSVISOR_FUZZ_EXAMPLES"


def examples(few: int) -> settings:
    """For a test of the suite."""
    asked = os.environ.get(NAME)
    return settings(
        max_examples=int(asked) if asked else few,
        derandomize=not asked,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
