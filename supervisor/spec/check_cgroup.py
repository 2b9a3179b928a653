"""What the limits of a worker's cgroup must agree on."""

from supervisor.spec.model import Worker
from supervisor.spec.origin import Origin

LEAST_MEMORY_BYTES = 4 * 1024 * 1024  # the sandbox's first process needs some 2 MiB to build it


def check_cgroup(worker: Worker, origin: Origin) -> None:
    """Report limits that nothing could start under, and those that contradict each other."""
    limits = worker.limits
    for key, value in (("memory", limits.memory_bytes), ("memory_high", limits.memory_high_bytes)):
        if isinstance(value, int) and value < LEAST_MEMORY_BYTES:
            origin.add(("limits", key), "too little to build the sandbox in", allowed='at least "4MiB"')
    most, high = limits.memory_bytes, limits.memory_high_bytes
    if isinstance(most, int) and isinstance(high, int) and high > most:
        message = "more than limits.memory: it would never be reached"
        origin.add(("limits", "memory_high"), message, involves=("limits.memory",))
    if limits.pids == 1 and worker.init:
        message = "too few: PID 1 of the sandbox counts, too"
        origin.add(("limits", "pids"), message, allowed="at least 2, or init = false", involves=("init",))
