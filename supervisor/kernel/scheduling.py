"""How a process is served: nice value, scheduling policy, I/O priority, processors; and its personality."""

import ctypes
import os

from supervisor.kernel.files import named
from supervisor.kernel.libc import checked, libc, raw

PRIO_PROCESS = os.PRIO_PROCESS
IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASS_SHIFT = 13
IO_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}
POLICIES = {
    "other": os.SCHED_OTHER,
    "batch": os.SCHED_BATCH,
    "idle": os.SCHED_IDLE,
    "fifo": os.SCHED_FIFO,
    "rr": os.SCHED_RR,
}

_ioprio_set = raw("ioprio_set", ctypes.c_int, ctypes.c_int, ctypes.c_int)
libc.personality.argtypes = [ctypes.c_ulong]

set_nice = named("setpriority", os.setpriority)
set_affinity = named("sched_setaffinity", os.sched_setaffinity)
_setscheduler = named("sched_setscheduler", os.sched_setscheduler)


def set_scheduler(pid: int, policy: int, priority: int) -> None:
    """Set policy and real-time priority (sched_setscheduler(2)). EPERM: a real-time one without CAP_SYS_NICE."""
    _setscheduler(pid, policy, os.sched_param(priority))


def set_io_priority(pid: int, io_class: int, level: int) -> None:
    """Set class (1 real-time, 2 best-effort, 3 idle) and level 0-7, 0 first (ioprio_set(2)). EPERM: real-time."""
    _ioprio_set(IOPRIO_WHO_PROCESS, pid, io_class << IOPRIO_CLASS_SHIFT | level)


def personality(persona: int) -> None:
    """Set the execution domain (personality(2)). EINVAL: one that this kernel was not built for."""
    checked(libc.personality(persona), "personality")


def current_personality() -> int:
    """The execution domain as it is."""
    return checked(libc.personality(0xFFFFFFFF), "personality")


def serve(pid: int, what: str, value: str) -> None:
    """Set `affinity` ("0-3,5"), `nice`, `ionice` or `scheduling` of a process (0: this one) from its words."""
    name, _, number = value.partition(":")
    if what == "affinity":
        set_affinity(pid, _cpus(value))
    elif what == "nice":
        set_nice(PRIO_PROCESS, pid, int(value))
    elif what == "ionice":
        set_io_priority(pid, IO_CLASSES[name], int(number or 0))
    else:
        set_scheduler(pid, POLICIES[name], int(number or 0))


def _cpus(text: str) -> set[int]:
    cpus: set[int] = set()
    for word in text.split(","):
        first, _, last = word.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus
