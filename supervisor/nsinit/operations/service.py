"""Phases about how the kernel serves the workload, and what else of it execve passes on."""

from __future__ import annotations

import errno
import os

from supervisor.kernel import scheduling as kernel
from supervisor.kernel.files import write_attribute
from supervisor.kernel.libc import KernelError
from supervisor.kernel.rlimits import set_limit
from supervisor.nsinit.box import Box

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# linux/personality.h
PERSONAS = {
    "LINUX32": 0x0008,
    "UNAME26": 0x0020000,
    "ADDR_NO_RANDOMIZE": 0x0040000,
    "MMAP_PAGE_ZERO": 0x0100000,
    "ADDR_COMPAT_LAYOUT": 0x0200000,
    "READ_IMPLIES_EXEC": 0x0400000,
    "ADDR_LIMIT_32BIT": 0x0800000,
    "ADDR_LIMIT_3GB": 0x8000000,
}


def oom_score(box: Box, score: str) -> None:
    """limit.oom: of this process and all that come of it. Lowering it is refused to who has no right on the host."""
    _or_ask(box, "oom_score_adj", lambda: write_attribute("/proc/self/oom_score_adj", score))


def schedule(box: Box, *pairs: str) -> None:
    """limit.sched: name and value in turn."""
    for at in range(0, len(pairs), 2):
        name, value = pairs[at], pairs[at + 1]
        _or_ask(box, name, lambda name=name, value=value: kernel.serve(0, name, value))  # type: ignore[misc]


def limits(box: Box, *pairs: str) -> None:
    """limit.rlimit: name and value ("N", "unlimited", "SOFT:HARD") in turn."""
    for at in range(0, len(pairs), 2):
        name, value = pairs[at], pairs[at + 1]
        _or_ask(box, f"rlimit {name}", lambda name=name, value=value: set_limit(name, value))  # type: ignore[misc]


def _or_ask(box: Box, what: str, act: Callable[[], None]) -> None:
    """Do it; where that is refused, a daemon with more rights may do it from outside."""
    try:
        act()
    except KernelError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise
        ours = os.pidfd_open(os.getpid())
        try:
            box.channel.need("limits", what, fd=ours)
        except KernelError:
            raise error from None
        finally:
            os.close(ours)


def umask(_box: Box, mask: str) -> None:
    """process.umask."""
    os.umask(int(mask, 8))


def personality(_box: Box, *names: str) -> None:
    """process.personality: on top of the one that is inherited."""
    persona = kernel.current_personality()
    for name in names:
        persona |= PERSONAS[name]
    kernel.personality(persona)
