"""Resource limits of the workload's process."""

from supervisor.sandbox.steps.step import Step
from supervisor.spec.model import Worker


def limit_steps(worker: Worker) -> list[Step]:
    """After every descriptor that later phases need is open."""
    limits = worker.limits
    names = {"cpu": limits.cpu_s, "as": limits.address_space}
    names |= {key: getattr(limits, key) for key in ("nofile", "nproc", "core", "fsize", "memlock", "stack", "data")}
    pairs = {key: value for key, value in names.items() if value is not None}
    if not pairs:
        return []
    detail = " ".join(f"{key}={value}" for key, value in pairs.items())
    return [Step("limit.rlimit", detail, tuple(item for pair in pairs.items() for item in pair))]
