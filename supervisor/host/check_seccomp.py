"""Check that the kernel filters system calls, where a worker wants it to."""

from collections.abc import Iterator

from supervisor.host.check import Check, read
from supervisor.spec.model import Worker
from supervisor.spec.syscalls import NATIVE

ACTIONS = "/proc/sys/kernel/seccomp/actions_avail"


def check_seccomp(workers: list[Worker], machine: str, actions: str = ACTIONS) -> Iterator[Check]:
    """One line, unless every worker has it off."""
    if all(worker.security.seccomp == "off" for worker in workers):
        return
    off = 'set security.seccomp = "off" in [defaults]'
    if machine not in NATIVE:
        yield Check("seccomp", "fail", f"no table of system calls for {machine}", off)
        return
    found = read(actions)
    if found is None:
        fix = f"boot a kernel with CONFIG_SECCOMP_FILTER, or {off}"
        yield Check("seccomp", "fail", f"{actions} is not there", fix)
    else:
        yield Check("seccomp", "ok", f"the kernel has {found}")
