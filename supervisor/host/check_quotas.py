"""Checks of how many processes and namespaces this user, this cgroup and this kernel allow."""

import os
import resource
from collections.abc import Iterator

from supervisor.host.check import Check, read
from supervisor.host.check_kernel import check_sysctls, wanted_namespaces
from supervisor.spec.model import Worker
from supervisor.spec.publish import OUTWARD

OWN = 16  # the daemon's threads, its keeper and what that forks ahead
RAISE_PIDS = "sudo sysctl -w kernel.pid_max=4194304 kernel.threads-max=200000"


def quota_checks(workers: list[Worker]) -> list[Check]:
    """Those that do not suffice for all workers at once."""
    found = [*check_sysctls(wanted_namespaces(workers)), *check_processes(workers, os.geteuid())]
    return [check for check in found if check.status != "ok" and check.fix is not None]


def wanted_processes(workers: list[Worker]) -> int:
    """At least so many: of each sandbox its PID 1, the workload where that is another, and pasta."""
    each = [(1 + bool(worker.init) + (worker.network.mode in OUTWARD), worker.instances) for worker in workers]
    return OWN + sum(processes * instances for processes, instances in each)


def check_processes(
    workers: list[Worker],
    uid: int,
    root: str = "/",
    limit: int | None = None,
) -> Iterator[Check]:
    """RLIMIT_NPROC of an ordinary user, pids.max of our cgroup and those around it, the kernel's own bounds.

    limit: the soft RLIMIT_NPROC, default this process's; -1: none.
    """
    need = wanted_processes(workers)
    bounds: list[tuple[str, int, str]] = []
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0] if limit is None else limit
    if uid != 0 and soft != resource.RLIM_INFINITY:
        bounds.append(("RLIMIT_NPROC", soft, "LimitNPROC= in nsvisor.service, or nproc in /etc/security/limits.conf"))
    place = next((line[3:] for line in (read(f"{root}proc/self/cgroup") or "").splitlines() if line[:3] == "0::"), "/")
    while place not in ("", "/"):
        text = read(f"{root}sys/fs/cgroup{place}/pids.max")
        if text is not None and text.isdecimal():
            bounds.append((f"pids.max of {place}", int(text), "TasksMax= of that unit"))
        place = os.path.dirname(place)
    for name in ("pid_max", "threads-max"):
        text = read(f"{root}proc/sys/kernel/{name}")
        if text is not None and text.isdecimal():
            bounds.append((f"kernel.{name}", int(text), RAISE_PIDS))
    short = [
        Check(name, "warn", f"{allowed}, and the workers make {need} processes or more", fix)
        for name, allowed, fix in bounds
        if allowed < need
    ]
    yield from short
    if not short:
        yield Check("processes", "ok", f"{need} or more wanted, all bounds are above")
