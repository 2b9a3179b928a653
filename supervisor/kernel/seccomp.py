"""seccomp(2): filters on system calls."""

import ctypes

from supervisor.kernel.libc import raw

SECCOMP_SET_MODE_FILTER = 1
_INSTRUCTION_BYTES = 8  # struct sock_filter

_seccomp = raw("seccomp", ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter(program: bytes, flags: int) -> None:
    """Filter all system calls of this process from now on, and of its children (SECCOMP_SET_MODE_FILTER).

    EACCES: neither no_new_privs nor CAP_SYS_ADMIN. EINVAL: no such flag, no valid program, or a kernel without
    CONFIG_SECCOMP_FILTER.
    """
    _seccomp(SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(_Program(len(program) // _INSTRUCTION_BYTES, program)))
