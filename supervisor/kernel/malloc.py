"""What the C library does with memory that was freed."""

import ctypes

from supervisor.kernel.libc import libc

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def keep_freed(size_bytes: int) -> None:
    """Keep as much for the next use, where blocks of up to half of it come and go (mallopt(3)).

    Otherwise each of them costs a page fault for every 4 KiB. A C library that knows no such thing is left alone.
    """
    try:
        mallopt = libc.mallopt
    except AttributeError:  # musl
        return
    mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    mallopt(M_MMAP_THRESHOLD, size_bytes // 2)
    mallopt(M_TRIM_THRESHOLD, size_bytes)
