"""What the seccomp profile must agree with."""

from supervisor.spec.capability_sets import capability_sets
from supervisor.spec.model import Worker
from supervisor.spec.origin import Origin

INSTALLS = "CAP_SYS_ADMIN"


def check_seccomp(worker: Worker, origin: Origin) -> None:
    """Without no_new_privs a filter takes CAP_SYS_ADMIN, at the end of the set-up still."""
    security = worker.security
    if security.no_new_privs or security.seccomp == "off" or INSTALLS in capability_sets(security).permitted:
        return
    allowed = f'true, or security.seccomp = "off" beside it, or {INSTALLS} among security.capabilities'
    message = "the kernel takes no seccomp filter then"
    involved = ("security.seccomp", "security.capabilities")
    origin.add(("security", "no_new_privs"), message, allowed=allowed, involves=involved)
