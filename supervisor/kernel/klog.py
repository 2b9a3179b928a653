"""syslog(2) of the kernel, which the C library calls klogctl: the kernel's own messages."""

import ctypes

from supervisor.kernel.libc import checked, libc

SYSLOG_ACTION_READ_ALL = 3
libc.klogctl.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]


def last_messages(size: int) -> bytes:
    """The last `size` bytes of the kernel's log. EPERM: kernel.dmesg_restrict is 1 and there is no CAP_SYSLOG."""
    buffer = ctypes.create_string_buffer(size)
    length = checked(libc.klogctl(SYSLOG_ACTION_READ_ALL, buffer, size), "syslog")
    return buffer.raw[:length]
