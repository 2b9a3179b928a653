"""Resource limits by name (getrlimit(2)), of this process or another."""

import errno
import resource

from supervisor.kernel.libc import KernelError

LIMITS = {
    "as": resource.RLIMIT_AS,
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "locks": 10,  # asm-generic/resource.h; the module has no name for it
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}


def set_limit(name: str, value: str, pid: int = 0) -> None:
    """Set it from "N", "unlimited" or "SOFT:HARD"; pid 0 is this process. EPERM: over the hard limit that it has."""
    soft, _, hard = value.partition(":")
    pair = (_number(soft), _number(hard or soft))
    number = LIMITS[name]
    try:
        resource.prlimit(pid, number, pair)
    except (OSError, ValueError):  # the module says ValueError for EPERM and EINVAL alike
        at_most = resource.prlimit(pid, number)[1]
        shown = "unlimited" if at_most == resource.RLIM_INFINITY else at_most
        text = f"{name}={value} is over the hard limit {shown}"
        raise KernelError(errno.EPERM, "setrlimit", name, text) from None


def lower_soft_limit(name: str, most: int) -> None:
    """Of this process, to `most` where it is higher. The hard limit stays. EPERM: an outer seccomp profile."""
    soft, hard = resource.getrlimit(LIMITS[name])
    try:
        resource.setrlimit(LIMITS[name], (min(soft, most), hard))
    except (OSError, ValueError):  # the module says ValueError for EPERM and EINVAL alike
        raise KernelError(errno.EPERM, "setrlimit", name) from None


def _number(text: str) -> int:
    return resource.RLIM_INFINITY if text == "unlimited" else int(text)
