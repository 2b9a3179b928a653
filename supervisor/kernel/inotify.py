"""inotify(7): the kernel tells when a file is unlinked or moved."""

import ctypes
import os

from supervisor.kernel.libc import checked, libc

IN_ATTRIB = 0x4  # the count of links, too: an unlinked file that is still in use tells nothing else
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_ONLYDIR = 0x01000000
IN_DONT_FOLLOW = 0x02000000

libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]


def inotify_init() -> int:
    """A new instance's descriptor, which does not block. EMFILE: fs.inotify.max_user_instances, or RLIMIT_NOFILE."""
    return checked(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify_init1")


def add_watch(fd: int, path: str, mask: int) -> None:
    """Have these events told. EACCES: it cannot be read; ENOENT; ENOSPC: fs.inotify.max_user_watches."""
    checked(libc.inotify_add_watch(fd, os.fsencode(path), mask), "inotify_add_watch", path)
