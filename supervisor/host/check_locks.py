"""Checks of what the kernel offers to lock workers in."""

import errno
import os
from collections.abc import Iterator

from supervisor.host.check import Check
from supervisor.kernel import landlock
from supervisor.kernel.libc import KernelError
from supervisor.spec import remedies
from supervisor.spec.locks import restricts, seals
from supervisor.spec.model import Worker

# Since which ABI Landlock knows what a key asks for (landlock(7), VERSIONS).
TCP, SCOPES = 4, 6
ADDS = ((2, "renames"), (3, "truncating"), (TCP, "TCP ports"), (5, "device ioctls"), (SCOPES, "sockets and signals"))


def check_seal(workers: list[Worker], proc: str = "/proc/sys") -> Iterator[Check]:
    """Say so where the limit of user namespaces cannot be set, as it is for each worker that does not allow them."""
    if not any(seals(worker) for worker in workers):
        return
    try:
        read_only = bool(os.statvfs(proc).f_flag & os.ST_RDONLY)
    except OSError:  # no such place: nothing can be set there
        read_only = True
    if read_only:
        fix = f"{remedies.UNMASK_PROC}; or security.nested_userns = true in each worker"
        yield Check("user namespace seal", "fail", f"{proc} is read-only", fix)


def check_landlock(workers: list[Worker]) -> Check:
    """Say whether it is there, and how much of it; that matters to who asks for it."""
    asking = [worker for worker in workers if restricts(worker)]
    try:
        version = landlock.abi()
    except KernelError as error:
        found = "not in this kernel" if error.errno == errno.ENOSYS else "not enabled at boot"
        if not asking:
            return Check("landlock", "ok", f"{found}, and no worker asks for it")
        return Check("landlock", "fail", found, "boot with landlock in lsm= (CONFIG_SECURITY_LANDLOCK=y)")
    found = f"ABI {version}"
    lacking = [what for since, what in ADDS if version < since]
    if any(_needed(worker) > version for worker in asking):
        required = any(_needed(worker) > version and worker.security.landlock.required for worker in asking)
        fix = f"a newer kernel adds: {', '.join(lacking)}"
        return Check("landlock", "fail" if required else "warn", found, fix)
    return Check("landlock", "ok", found)


def _needed(worker: Worker) -> int:
    """Tell the ABI that knows all that a worker asks for."""
    asked = worker.security.landlock
    if not (asked.abstract_sockets and asked.signals):
        return SCOPES
    if asked.write is not None:
        return 5
    return TCP if asked.connect_tcp is not None or asked.bind_tcp is not None else 1
