"""Memory shared by a file."""

import errno
import os

import pytest

from supervisor.kernel.libc import KernelError
from supervisor.kernel.shared_memory import map_shared, unmap


def test_what_is_written_is_in_the_file_after_the_descriptor_is_closed() -> None:
    fd = os.memfd_create("test")
    os.ftruncate(fd, 3 * 65536)
    other = os.dup(fd)
    before = len(os.listdir("/proc/self/fd"))
    view = map_shared(fd, 4096, 65536)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(fd)
    view[10:13] = b"abc"
    assert os.pread(other, 5, 65536 + 9) == b"\0abc\0"
    unmap(view)
    with open("/proc/self/maps") as maps:
        assert "memfd:test" not in maps.read()
    os.close(other)


def test_what_is_not_open_for_writing_cannot_be_mapped() -> None:
    with open("/etc/passwd", "rb") as file, pytest.raises(KernelError) as caught:
        map_shared(file.fileno(), 4096, 0)
    assert (caught.value.errno, caught.value.syscall) == (errno.EACCES, "mmap")
