"""Descriptors 0-2, which come from outside: what they lead to."""

import errno
import os
import stat

from supervisor.kernel.files import OVERFLOW_ID
from supervisor.kernel.libc import KernelError

NULL = "/dev/null"
NAMES = ("input", "output", "error")


def contain_stdio() -> None:
    """Refuse directories: openat(2) walks the host from them (runc CVE-2024-21626). Take the sandbox's own null device.

    The host's root could change the mode of the host's through the descriptor, inside as outside.
    """
    own = -1
    for number, name in enumerate(NAMES):
        try:
            found = os.fstat(number)
        except OSError:  # closed
            continue
        if stat.S_ISDIR(found.st_mode):
            text = f"standard {name} is a directory, which leads out of the sandbox"
            raise KernelError(errno.EISDIR, "fstat", None, text)
        if _is_null(found) and found.st_uid != OVERFLOW_ID:
            own = _open_own() if own < 0 else own
            if own >= 0:
                os.dup2(own, number, inheritable=True)
    if own >= 0:
        os.close(own)


def _is_null(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)


def _open_own() -> int:
    """-1 where there is none, or another file in its place."""
    try:
        if not _is_null(os.stat(NULL)):
            return -1
        return os.open(NULL, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return -1
