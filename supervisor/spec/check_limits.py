"""What a worker's limits must agree on."""

from supervisor.spec.model import Worker
from supervisor.spec.origin import Origin

STANDARD_DESCRIPTORS = 3


def check_limits(worker: Worker, origin: Origin) -> None:
    """Report limits below which nothing can be executed."""
    nofile = worker.limits.nofile
    soft = nofile.partition(":")[0] if isinstance(nofile, str) else nofile
    if soft is not None and soft != "unlimited" and int(soft) < STANDARD_DESCRIPTORS:
        message = "fewer than the three standard descriptors"
        allowed = f"at least {STANDARD_DESCRIPTORS}; {STANDARD_DESCRIPTORS + 1} where shared libraries are loaded"
        origin.add(("limits", "nofile"), message, allowed=allowed)
