"""Phases that set kernel settings, and hide or write-protect what the kernel shows: all by descriptor."""

from __future__ import annotations

import errno
import os
import stat

from supervisor.kernel import files
from supervisor.kernel import mounts as kernel
from supervisor.kernel.files import open_beneath, open_in_root
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations.mount_options import CLOSED
from supervisor.nsinit.operations.mounts import check_device, close_node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROC = "/proc/"
EMPTY = "sys/fs/binfmt_misc"


def set_sysctl(box: Box, path: str, value: str) -> None:
    """sysctl.set: path below the sandbox's own /proc. What it sets is the namespaces' that this process is in.

    EACCES where the kernel wants the id 0 of the user namespace; ENOENT where it has no such setting for a namespace.
    """
    fd = open_beneath(box.proc_fd, path, os.O_WRONLY)
    try:
        if files.filesystem_type(fd) != files.PROC_SUPER_MAGIC:
            raise KernelError(errno.EXDEV, "fstatfs", path, "not a file of /proc")
        files.write(fd, value.encode())
    finally:
        os.close(fd)


def mask(box: Box, whole: str, count: str, *paths: str) -> str | None:
    """mount.mask: `count` paths to hide, then those to write-protect, with `whole` all of /proc. Missing: skipped.

    A path is opened once, and mounted over by that descriptor: nothing can be put in its place meanwhile.
    """
    hidden, read_only = paths[: int(count)], paths[int(count) :]
    cover = _Cover(box.proc_fd)
    missing = [path for path in hidden if not _over(box, path, cover.for_place)]
    cover.close()
    missing += [path for path in read_only if not _over(box, path, _write_protected)]
    if whole == "1":
        proc = box.proc_fd if box.proc_is_seen else open_in_root(box.root_fd, "/proc", os.O_PATH)
        kernel.set_attributes(proc, kernel.MOUNT_ATTR_RDONLY, recursive=True, subject="/proc")
    return f"not there: {' '.join(missing)}" if missing else None


def _over(box: Box, path: str, mount_for: Callable[[int, str], int]) -> bool:
    """Mount over a path what mount_for makes for it; false where there is no such path."""
    place = _open(box, path)
    if place < 0:
        return False
    tree = mount_for(place, path)
    kernel.attach(tree, place, subject=path)
    os.close(tree)
    os.close(place)
    return True


def _write_protected(place: int, path: str) -> int:
    copy = kernel.copy_tree(place, subject=path)
    kernel.set_attributes(copy, kernel.MOUNT_ATTR_RDONLY, recursive=True, subject=path)
    return copy


def _open(box: Box, path: str) -> int:
    """Below /proc from its own descriptor, whatever leads to it in the root; -1 where there is no such path."""
    try:
        if box.proc_is_seen and path.startswith(PROC):
            return open_in_root(box.proc_fd, path.removeprefix(PROC), os.O_PATH)
        return open_in_root(box.root_fd, path, os.O_PATH)
    except KernelError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return -1
        raise


class _Cover:
    """What lies over hidden paths: the host's null device, seen to be that one, or an empty directory."""

    def __init__(self, proc_fd: int) -> None:
        """proc_fd: the sandbox's /proc, or -1."""
        self._proc_fd = proc_fd
        self._null = -1
        self._empty = -1

    def for_place(self, place: int, path: str) -> int:
        """Make a mount of the place's kind."""
        if stat.S_ISDIR(os.fstat(place).st_mode):
            if self._empty < 0:
                self._empty = self._empty_directory()
            if self._empty >= 0:
                return _write_protected(self._empty, path)
            settings = {"mode": "555", "size": "4096", "nr_inodes": "1"}
            tree = kernel.new_filesystem("tmpfs", settings, CLOSED | kernel.MOUNT_ATTR_RDONLY)
            self._empty = os.dup(tree)  # the next ones are copies: a file system of their own costs more
            return tree
        if self._null < 0:
            self._null = files.open_file("/dev/null", os.O_PATH | os.O_CLOEXEC)
            check_device(self._null, "null")
        tree = kernel.copy_tree(self._null, subject=path)
        close_node(tree, "null", os.fstat(tree))
        return tree

    def _empty_directory(self) -> int:
        """The one of /proc that the kernel keeps for mounts, for ever empty; -1 where something is mounted on it."""
        try:
            return open_beneath(self._proc_fd, EMPTY, os.O_PATH | os.O_DIRECTORY)
        except KernelError:
            return -1

    def close(self) -> None:
        """Let go of both."""
        for fd in (self._null, self._empty):
            if fd >= 0:
                os.close(fd)
