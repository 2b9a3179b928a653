"""New namespaces, and what is set in them."""

from supervisor.sandbox.steps.network import has_own_network
from supervisor.sandbox.steps.step import Step
from supervisor.spec.model import Worker


def namespace_steps(worker: Worker) -> list[Step]:
    """One unshare each, so that each has a time and an errno of its own. That of mounts comes later, with the root."""
    spaces = worker.namespaces
    kinds = {
        "uts": spaces.uts,
        "ipc": spaces.ipc,
        "network": has_own_network(worker),
        "cgroup": spaces.cgroup,
        "time": spaces.time,
    }
    steps = [Step(f"ns.{kind}") for kind, value in kinds.items() if value is True]
    if spaces.time is True:
        offsets = worker.time_offsets
        text = f"monotonic {offsets.monotonic_s} s, boottime {offsets.boottime_s} s"
        steps.append(Step("time.offsets", text, (offsets.monotonic_s, offsets.boottime_s)))
    return steps


def name_steps(worker: Worker, instance: str) -> list[Step]:
    """The names of a new uts namespace."""
    if worker.namespaces.uts is not True:
        return []
    host = worker.hostname or instance
    steps = [Step("uts.hostname", host, (host,))]
    if worker.domainname is not None:
        steps.append(Step("uts.domainname", worker.domainname, (worker.domainname,)))
    return steps
