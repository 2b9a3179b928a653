"""Which system call a seccomp filter killed a process for, where the kernel's log is open to us and tells."""

import re
from collections.abc import Callable, Iterable

from supervisor.kernel.klog import last_messages
from supervisor.kernel.libc import KernelError
from supervisor.spec.syscalls import name_of

TAIL_BYTES = 256 * 1024
WINDOW_S = 1.0  # between the kernel's record and our hearing of the exit
ARCH = {0xC000003E: "SCMP_ARCH_X86_64", 0xC00000B7: "SCMP_ARCH_AARCH64", 0x40000003: "SCMP_ARCH_X86"}
_RECORD = re.compile(
    r"type=1326 audit\((?P<time>\d+\.\d+):\d+\):.* uid=(?P<uid>\d+) .* sig=31 arch=(?P<arch>[0-9a-f]+) "
    r"syscall=(?P<number>\d+)"
)


def refused_call(ended_at: float, uids: Iterable[tuple[int, int]], read: Callable[[int], bytes] = last_messages) -> str:
    """Name the call that ended a process of these uids (first and count) at this time; "" where that is not certain.

    Not certain: the log is closed to us (kernel.dmesg_restrict), auditd takes the records, two such processes died of
    different calls at once, or this host's pid and user namespaces are not the kernel's first.
    """
    try:
        text = read(TAIL_BYTES).decode("utf-8", "replace")
    except KernelError:
        return ""
    spans = tuple(uids)
    found = {
        _call(int(record["arch"], 16), int(record["number"]))
        for record in _RECORD.finditer(text)
        if ended_at - WINDOW_S <= float(record["time"]) <= ended_at
        and any(first <= int(record["uid"]) < first + count for first, count in spans)
    }
    return found.pop() if len(found) == 1 else ""


def _call(audit_arch: int, number: int) -> str:
    arch = ARCH.get(audit_arch, "")
    name = name_of(arch, number)
    if name is None:
        return f"number {number}"
    return name if arch != "SCMP_ARCH_X86" else f"{name} (of 32 bits)"
