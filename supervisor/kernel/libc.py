"""The C library, and how a failed call becomes an OSError that names its system call."""

from __future__ import annotations

import ctypes
import os
import platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

libc = ctypes.CDLL(None, use_errno=True)

# Numbers from 424 on are the same on every architecture; the older ones that are called raw differ.
_NUMBERS = {
    "x86_64": {"rt_sigprocmask": 14, "clone": 56, "getcwd": 79, "keyctl": 250, "seccomp": 317, "ioprio_set": 251},
    "aarch64": {"rt_sigprocmask": 135, "clone": 220, "getcwd": 17, "keyctl": 219, "seccomp": 277, "ioprio_set": 30},
}
SYS = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
    **_NUMBERS.get(platform.machine(), {}),
}


class KernelError(OSError):
    """An OSError that knows which system call failed."""

    def __init__(self, number: int, syscall: str, subject: str | None = None, text: str | None = None) -> None:
        """errno, the call's name, the path or name it was about, and what the kernel said beside errno."""
        super().__init__(number, text or os.strerror(number), subject)
        self.syscall = syscall


def checked(result: int, syscall: str, subject: str | None = None) -> int:
    """Pass a result through; raise KernelError from errno where it is -1."""
    if result == -1:
        raise KernelError(ctypes.get_errno(), syscall, subject)
    return result


def raw(syscall: str, *types: type) -> Callable[..., int]:
    """Make a function for a system call that the C library does not wrap; argument types are set once.

    The function takes the arguments, and `subject` for its KernelError: ENOSYS where this machine's number is unknown.
    """
    function = libc["syscall"]  # a new object each time, so its types are its own
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, *types]
    number = SYS.get(syscall, -1)

    def call(*arguments: object, subject: str | None = None) -> int:
        result: int = function(number, *arguments)
        if result == -1:
            raise KernelError(ctypes.get_errno(), syscall, subject)
        return result

    return call
