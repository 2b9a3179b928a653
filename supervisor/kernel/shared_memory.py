"""mmap(2) of a file's part, shared with whoever else maps or reads it. No descriptor is kept, as the module's would."""

from __future__ import annotations

import ctypes

from supervisor.kernel.libc import KernelError, checked, libc

PROT_READ, PROT_WRITE, MAP_SHARED = 1, 2, 1
MAP_FAILED = ctypes.c_void_p(-1).value

libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def map_shared(fd: int, count: int, offset: int) -> memoryview:
    """`count` bytes of the file; the offset is a multiple of the page size. EACCES: not open for both."""
    found: int | None = libc.mmap(None, count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset)
    if found is None or found == MAP_FAILED:
        raise KernelError(ctypes.get_errno(), "mmap")
    return memoryview((ctypes.c_ubyte * count).from_address(found)).cast("B")


def unmap(view: memoryview) -> None:
    """Take it away. The view must not be used any more, nor any part of it."""
    address = ctypes.addressof(ctypes.c_ubyte.from_buffer(view))
    checked(libc.munmap(address, len(view)), "munmap")
