"""The mount API on descriptors (open_tree, fsopen, move_mount, mount_setattr), pivot_root, umount2, propagation.

Where the kernel lacks a call, or a container's seccomp profile hides it, mounts_classic.py does the same by mount(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from supervisor.kernel import mounts_classic as classic
from supervisor.kernel.libc import KernelError, checked, libc, raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = 0x80000
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
FSOPEN_CLOEXEC = FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MOUNT_ATTR_RELATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME_MASK = 0, 0x10, 0x20, 0x70
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 14, 1 << 18, 1 << 19, 1 << 20
MNT_DETACH = 2
DETACHED, SETATTR = 0, 1  # see _has

_Attributes = ctypes.c_uint64 * 4  # struct mount_attr; a type made in each child would cost each child
_int, _str, _pointer = ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
_open_tree = raw("open_tree", _int, _str, ctypes.c_uint)
_mount_setattr = raw("mount_setattr", _int, _str, ctypes.c_uint, _pointer, ctypes.c_size_t)
_move_mount = raw("move_mount", _int, _str, _int, _str, ctypes.c_uint)
_fsopen = raw("fsopen", _str, ctypes.c_uint)
_fsconfig = raw("fsconfig", _int, ctypes.c_uint, _str, _str, _int)
_fsmount = raw("fsmount", _int, ctypes.c_uint, ctypes.c_uint)
libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
libc.pivot_root.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
_offers: list[bool] = []  # detached mounts (Linux 5.2), mount_setattr (5.12)


def _has(call: int) -> bool:
    if not _offers:
        ask()
    return _offers[call]


def ask() -> None:
    """Which calls are there, of DETACHED and SETATTR: asked with arguments that are none, for all that this forks.

    ENOSYS and EPERM both come from seccomp profiles. Calls that are there look at the arguments first, and at rights
    later; those of their kind that look at rights first are taken to be there with them.
    """
    nothing = 0xFFFFFFFF
    detached = _answers(_open_tree, -1, b"", nothing) and _answers(_fsconfig, -1, nothing, None, None, 0)
    _offers[:] = (detached, _answers(_mount_setattr, -1, b"", nothing, None, 0))


def _answers(call: Callable[..., int], *arguments: object) -> bool:
    try:
        call(*arguments)
    except KernelError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


def begin() -> None:
    """Before the first mount of a mount namespace of our own, from which nothing travels to others."""
    if not (_has(DETACHED) and _has(SETATTR)):
        classic.stage()


def open_tree(path: str, *, recursive: bool, dir_fd: int = AT_FDCWD) -> int:
    """A detached copy of the mounts at a path, as a descriptor (open_tree(2), Linux 5.2).

    Errors: ENOENT; EACCES; EINVAL a non-recursive copy of a tree with locked mounts below.
    """
    if not _has(DETACHED):
        return classic.open_tree(path, recursive=recursive, dir_fd=None if dir_fd == AT_FDCWD else dir_fd)
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return _open_tree(dir_fd, os.fsencode(path), flags, subject=path)


def copy_tree(fd: int, *, subject: str | None = None) -> int:
    """The same of what a descriptor refers to, with all that is mounted below."""
    if not _has(DETACHED):
        return classic.copy_tree(fd, subject=subject)
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH
    return _open_tree(fd, b"", flags, subject=subject)


def set_attributes(
    mount_fd: int,
    attributes: int,
    *,
    recursive: bool,
    clear: int = 0,
    propagation: int = 0,
    subject: str | None = None,
) -> None:
    """Add and clear MOUNT_ATTR_* of a mount, and set its propagation (MS_*; mount_setattr(2), Linux 5.12).

    EPERM: clearing one that was inherited from a more privileged mount namespace. EINVAL: nosymfollow before 5.14.
    """
    if not _has(SETATTR):
        _give_place(mount_fd, subject)
        classic.set_attributes(
            mount_fd, attributes, recursive=recursive, clear=clear, propagation=propagation, subject=subject
        )
        return
    request = _Attributes(attributes, clear, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _mount_setattr(mount_fd, b"", flags, ctypes.byref(request), ctypes.sizeof(request), subject=subject)


def set_id_map(mount_fd: int, namespace_fd: int, *, subject: str | None = None) -> None:
    """Translate the owners of a detached mount and of those below it by a user namespace's maps (Linux 5.12).

    EINVAL: a file system that cannot, or a mount that does already. EPERM: not privileged over the file system.
    """
    request = _Attributes(MOUNT_ATTR_IDMAP, 0, 0, namespace_fd)
    flags = AT_EMPTY_PATH | AT_RECURSIVE
    _mount_setattr(mount_fd, b"", flags, ctypes.byref(request), ctypes.sizeof(request), subject=subject)


def _give_place(mount_fd: int, subject: str | None) -> None:
    """A remount is for mounts that have a place already."""
    if not classic.is_attached(mount_fd):
        place, _ = classic.place(directory=stat.S_ISDIR(os.fstat(mount_fd).st_mode))
        attach(mount_fd, place, subject=subject)
        os.close(place)


def attach(mount_fd: int, target_fd: int, *, subject: str | None = None) -> None:
    """Mount a detached mount on what target_fd refers to (move_mount(2)). ENOTDIR/EINVAL: file over directory."""
    if not _has(DETACHED):
        classic.attach(mount_fd, target_fd, subject=subject)
        return
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _move_mount(mount_fd, b"", target_fd, b"", flags, subject=subject)


def new_filesystem(kind: str, options: dict[str, str] | list[tuple[str, str]], attributes: int) -> int:
    """A fresh file system as a detached mount (fsopen, fsconfig, fsmount). An empty option value sets a flag.

    EPERM: the kind is not allowed in this user namespace, or its fresh copy would reveal what is masked outside.
    """
    pairs = options if isinstance(options, list) else list(options.items())
    if not _has(DETACHED):
        return classic.new_filesystem(kind, pairs, attributes)
    context = _fsopen(kind.encode(), FSOPEN_CLOEXEC, subject=kind)
    try:
        for key, value in pairs:
            command = FSCONFIG_SET_STRING if value else FSCONFIG_SET_FLAG
            setting = value.encode() if value else None
            _fsconfig(context, command, key.encode(), setting, 0, subject=f"{kind} {key}={value}")
        _fsconfig(context, FSCONFIG_CMD_CREATE, None, None, 0, subject=kind)
        return _fsmount(context, FSMOUNT_CLOEXEC, attributes, subject=kind)
    except KernelError as error:
        raise KernelError(error.errno or 0, error.syscall, error.filename, _said(context)) from None
    finally:
        os.close(context)


def _said(context: int) -> str | None:
    """Read what the file system said of its failure, from its context's message queue."""
    try:
        return os.read(context, 1024).decode(errors="replace").strip() or None
    except OSError:  # ENODATA: it said nothing
        return None


def set_propagation(path: str, flags: int) -> None:
    """Change how mount events travel: MS_SLAVE or MS_PRIVATE, with MS_REC (mount(2))."""
    checked(libc.mount(None, os.fsencode(path), None, flags, None), "mount", path)


def detach(mount_fd: int) -> None:
    """Take a mount off where it is; what was opened or copied from it stays (umount2(2), by way of /proc/self/fd)."""
    checked(libc.umount2(f"/proc/self/fd/{mount_fd}".encode(), MNT_DETACH), "umount2")


def pivot_root_here() -> None:
    """pivot_root(".", "."), then detach the old root that now lies over the new one (pivot_root(2), NOTES).

    What was mounted over the old root goes first: umount2(".") takes the uppermost off, and no more than that one.
    EINVAL: the new root is not a mount, a parent is shared, or the present root is the initramfs.
    """
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        checked(libc.pivot_root(b".", b"."), "pivot_root")
        os.fchdir(old)
    finally:
        os.close(old)
    checked(libc.umount2(b".", MNT_DETACH), "umount2")
    while libc.umount2(b".", MNT_DETACH) == 0:  # EINVAL once this directory's own mount is detached
        pass
