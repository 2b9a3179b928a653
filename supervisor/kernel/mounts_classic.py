"""Mounts by mount(2) alone, as far as kernel/mounts.py cannot use the newer calls.

Kernels before Linux 5.12 have no mount_setattr; seccomp profiles of outer containers hide it, or all of them.

A classic mount is attached from birth. What is a detached mount elsewhere lies here in a staging area until it is
moved: a tmpfs over the root of this mount namespace, which nobody looks into and which goes with the old root.
"""

import ctypes
import errno
import os
import stat

from supervisor.kernel.libc import KernelError, checked, libc

MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC = 1 << 5, 1 << 12, 1 << 13, 1 << 14
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME, MS_RELATIME, MS_STRICTATIME = 1 << 8, 1 << 10, 1 << 11, 1 << 21, 1 << 24
# MOUNT_ATTR_* (linux/mount.h) and, as mountinfo writes them, the flags that a remount would take away.
ATTRIBUTES = {0x1: MS_RDONLY, 0x2: MS_NOSUID, 0x4: MS_NODEV, 0x8: MS_NOEXEC, 0x200000: MS_NOSYMFOLLOW}
WORDS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "nosymfollow": MS_NOSYMFOLLOW,
}
ATIME_MASK, NODIRATIME = 0x70, 0x80
ATIMES = {0: MS_RELATIME, 0x10: MS_NOATIME, 0x20: MS_STRICTATIME}

libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_staging: list[int] = []  # its descriptor, in the process that mounts


class Mount:
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""

    def __init__(self, line: bytes) -> None:
        fields = line.split()
        self.id, self.parent = int(fields[0]), int(fields[1])
        first, *rest = fields[4].split(b"\\")  # blanks and the like are written as \\ and three octal digits
        self.path = os.fsdecode(first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest))
        self.options = fields[5].decode().split(",")
        self.kind = fields[fields.index(b"-") + 1].decode()


def mounts() -> dict[int, Mount]:
    """Every mount that this process's root shows, by its id."""
    with open("/proc/self/mountinfo", "rb") as file:
        return {mount.id: mount for mount in map(Mount, file)}


def mount_id(fd: int) -> int:
    """Of the mount that a descriptor's file was opened in."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    return -1


def by_descriptor(fd: int) -> str:
    """A path that leads to what a descriptor refers to, whatever its name holds."""
    return f"/proc/self/fd/{fd}"


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None, subject: str | None
) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    checked(libc.mount(words[0], words[1], words[2], flags, words[3]), "mount", subject)


def stage() -> None:
    """Make the staging area, before a new root covers the old one: over that it would stay with the sandbox."""
    _mount("staging", "/", "tmpfs", MS_NOSUID | MS_NODEV, "mode=700", "/")
    # ".." of the root is the root, and on the way there the mount that covers it is entered.
    _staging.append(os.open("/..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))


def place(*, directory: bool) -> tuple[int, str]:
    """A new mount point in the staging area: its descriptor, and its name there."""
    if not _staging:
        stage()
    staging = _staging[0]
    name = str(len(_staging))
    if directory:
        os.mkdir(name, 0o700, dir_fd=staging)
    else:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=staging))
    _staging.append(-1)
    return os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=staging), name


def _mount_staged(source: str, kind: str | None, flags: int, data: str | None, *, directory: bool, subject: str) -> int:
    point, name = place(directory=directory)
    try:
        _mount(source, by_descriptor(point), kind, flags, data, subject)
    finally:
        os.close(point)
    return os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=_staging[0])


def open_tree(path: str, *, recursive: bool, dir_fd: int | None = None) -> int:
    """As mounts.open_tree; the copy is in the staging area."""
    try:
        source = os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as error:
        raise KernelError(error.errno or 0, "openat", path) from None
    try:
        return copy_tree(source, recursive=recursive, subject=path)
    finally:
        os.close(source)


def copy_tree(fd: int, *, recursive: bool = True, subject: str | None = None) -> int:
    """As mounts.copy_tree."""
    directory = stat.S_ISDIR(os.fstat(fd).st_mode)
    flags = MS_BIND | (MS_REC if recursive else 0)
    return _mount_staged(by_descriptor(fd), None, flags, None, directory=directory, subject=subject or "")


def attach(mount_fd: int, target_fd: int, *, subject: str | None = None) -> None:
    """As mounts.attach, out of the staging area."""
    _mount(by_descriptor(mount_fd), by_descriptor(target_fd), None, MS_MOVE, None, subject)


def new_filesystem(kind: str, options: list[tuple[str, str]], attributes: int) -> int:
    """As mounts.new_filesystem. No value may hold a comma.

    Read-only is the mount alone, not the file system: that may be shared with others (proc, sysfs).
    """
    data = ",".join(f"{key}={value}" if value else key for key, value in options)
    flags = sum(flag for attribute, flag in ATTRIBUTES.items() if attributes & attribute and flag != MS_RDONLY)
    fd = _mount_staged(kind, kind, flags, data or None, directory=True, subject=kind)
    if attributes & ~(MS_NOSUID | MS_NODEV | MS_NOEXEC):  # these three have the same numbers in both worlds
        set_attributes(fd, attributes, clear=attributes & ATIME_MASK, recursive=False, subject=kind)
    return fd


def is_attached(mount_fd: int) -> bool:
    """Whether a mount has a place in this mount namespace already."""
    return mount_id(mount_fd) in mounts()


def set_attributes(
    mount_fd: int,
    attributes: int,
    *,
    recursive: bool,
    clear: int = 0,
    propagation: int = 0,
    subject: str | None = None,
) -> None:
    """As mounts.set_attributes, one mount after the other: a failure leaves the first ones changed."""
    table = mounts()
    top = table.get(mount_id(mount_fd))
    if top is None:
        raise KernelError(errno.EINVAL, "mount", subject, "not a mount of this mount namespace")
    _remount(mount_fd, top, attributes, clear, subject)
    if propagation:
        rest = MS_REC if recursive else 0
        _mount(None, by_descriptor(mount_fd), None, propagation | rest, None, subject)
    if not recursive:
        return
    for mount in _below(top.id, table):
        below = mount.path[len(top.path.rstrip("/")) :].lstrip("/")
        try:
            fd = os.open(below, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=mount_fd)
        except OSError:  # hidden below another mount: nobody inside can reach it either
            continue
        try:
            if mount_id(fd) == mount.id:
                _remount(fd, mount, attributes, clear, f"{subject}: {below}")
        finally:
            os.close(fd)


def _below(top: int, table: dict[int, Mount]) -> list[Mount]:
    """All mounts below one, each after the one that it is mounted on."""
    children: dict[int, list[Mount]] = {}
    for mount in table.values():
        children.setdefault(mount.parent, []).append(mount)
    found = list(children.get(top, ()))
    for mount in found:  # it grows while it is gone through
        found += children.get(mount.id, ())
    return found


def _remount(fd: int, mount: Mount, attributes: int, clear: int, subject: str | None) -> None:
    """mount(2) sets all flags anew: those that the mount has are said again, but for those to be cleared.

    How times are kept is not touched where none of its flags is given.
    """
    flags = sum(WORDS.get(word, 0) for word in mount.options)
    for attribute, flag in ATTRIBUTES.items():
        if clear & attribute:
            flags &= ~flag
        if attributes & attribute:
            flags |= flag
    if clear & ATIME_MASK or (attributes | clear) & NODIRATIME:
        flags |= ATIMES.get(attributes & ATIME_MASK, MS_RELATIME)
        flags |= MS_NODIRATIME if attributes & NODIRATIME else 0
    _mount(None, by_descriptor(fd), None, MS_REMOUNT | MS_BIND | flags, None, subject)
