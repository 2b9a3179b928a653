"""File calls that name themselves when they fail, and openat2(2) confined to a root."""

from __future__ import annotations

import ctypes
import os

from supervisor.kernel.libc import KernelError, checked, libc, raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
PROC_SUPER_MAGIC = 0x9FA0
OVERFLOW_ID = 65534  # how an id shows that is not mapped in the user namespace of who asks (kernel.overflowuid)
_OpenHow = ctypes.c_uint64 * 3  # struct open_how
FALLOC_FL_KEEP_SIZE = 0x01
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
libc.fstatfs.argtypes = [ctypes.c_int, ctypes.c_void_p]
_getcwd = raw("getcwd", ctypes.c_char_p, ctypes.c_size_t)
_openat2 = raw("openat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


def named(syscall: str, function: Callable[P, R]) -> Callable[P, R]:
    """Give a function of os the name of its system call, for the error it may raise."""

    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        try:
            return function(*arguments, **keywords)
        except OSError as error:
            raise KernelError(error.errno or 0, syscall, error.filename) from None

    return call


open_file = named("openat", os.open)
mkdir = named("mkdirat", os.mkdir)
symlink = named("symlinkat", os.symlink)
chdir = named("chdir", os.chdir)
chroot = named("chroot", os.chroot)
fchdir = named("fchdir", os.fchdir)
fchmod = named("fchmod", os.fchmod)
fchown = named("fchown", os.fchown)
sendfile = named("sendfile", os.sendfile)
write = named("write", os.write)
setresuid = named("setresuid", os.setresuid)
setresgid = named("setresgid", os.setresgid)
setgroups = named("setgroups", os.setgroups)
setsid = named("setsid", os.setsid)
dup2 = named("dup2", os.dup2)
execve = named("execve", os.execve)
fork = named("fork", os.fork)


def getcwd() -> str:
    """The working directory as the kernel sees it: "(unreachable)…" outside the root (getcwd(2)).

    The C library would walk up from there and may find a path that leads to another place inside.
    """
    buffer = ctypes.create_string_buffer(4096)  # PATH_MAX
    _getcwd(buffer, len(buffer))
    return os.fsdecode(buffer.value)


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path as if root_fd were "/": no link and no ".." leads out (openat2(2), RESOLVE_IN_ROOT, Linux 5.6)."""
    request = _OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    return _openat2(root_fd, os.fsencode(path), ctypes.byref(request), ctypes.sizeof(request), subject=path)


def open_beneath(directory_fd: int, path: str, flags: int) -> int:
    """Open a path below a directory: no link, no "..", and nothing that is mounted there (openat2(2)).

    Errors: ELOOP a link; EXDEV it leads out, or into another mount.
    """
    resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
    request = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    return _openat2(directory_fd, os.fsencode(path), ctypes.byref(request), ctypes.sizeof(request), subject=path)


def filesystem_type(fd: int) -> int:
    """The magic number of the file system that a descriptor's file lies on (fstatfs(2))."""
    buffer = (ctypes.c_long * 32)()  # struct statfs: f_type is its first word
    checked(libc.fstatfs(fd, ctypes.byref(buffer)), "fstatfs")
    return buffer[0]


def allocate(fd: int, offset: int, size_bytes: int) -> None:
    """Have room on the disk for this part of a file, which stays as long as it is (fallocate(2)).

    Errors: EOPNOTSUPP the file system cannot; ENOSPC.
    """
    checked(libc.fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, size_bytes), "fallocate")


def write_attribute(path: str, value: str) -> None:
    """One write to a file of /proc or /sys: the kernel takes the value whole or not at all."""
    fd = open_file(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        try:
            os.write(fd, value.encode())
        except OSError as error:
            raise KernelError(error.errno or 0, "write", path) from None
    finally:
        os.close(fd)
