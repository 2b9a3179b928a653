"""The mount API on descriptors (open_tree, fsopen, move_mount, mount_setattr), pivot_root, umount2, propagation."""

import ctypes
import os

from supervisor.kernel.libc import KernelError, checked, libc, raw

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
MS_REC, MS_PRIVATE, MS_SLAVE = 1 << 14, 1 << 18, 1 << 19
MNT_DETACH = 2

_Attributes = ctypes.c_uint64 * 4  # struct mount_attr; a type made in each child would cost each child
_int, _str, _pointer = ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
_open_tree = raw("open_tree", _int, _str, ctypes.c_uint)
_mount_setattr = raw("mount_setattr", _int, _str, ctypes.c_uint, _pointer, ctypes.c_size_t)
_move_mount = raw("move_mount", _int, _str, _int, _str, ctypes.c_uint)
_fsopen = raw("fsopen", _str, ctypes.c_uint)
_fsconfig = raw("fsconfig", _int, ctypes.c_uint, _str, _str, _int)
_fsmount = raw("fsmount", _int, ctypes.c_uint, ctypes.c_uint)
libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
libc.pivot_root.argtypes = [ctypes.c_char_p, ctypes.c_char_p]


def open_tree(path: str, *, recursive: bool, dir_fd: int = AT_FDCWD) -> int:
    """A detached copy of the mounts at a path, as a descriptor (open_tree(2), Linux 5.2).

    Errors: ENOENT; EACCES; EINVAL a non-recursive copy of a tree with locked mounts below.
    """
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return _open_tree(dir_fd, os.fsencode(path), flags, subject=path)


def set_attributes(
    mount_fd: int, attributes: int, *, recursive: bool, clear: int = 0, subject: str | None = None
) -> None:
    """Add and clear MOUNT_ATTR_* of a mount (mount_setattr(2), Linux 5.12).

    EPERM: clearing one that was inherited from a more privileged mount namespace.
    """
    request = _Attributes(attributes, clear, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _mount_setattr(mount_fd, b"", flags, ctypes.byref(request), ctypes.sizeof(request), subject=subject)


def attach(mount_fd: int, target_fd: int, *, subject: str | None = None) -> None:
    """Mount a detached mount on what target_fd refers to (move_mount(2)). ENOTDIR/EINVAL: file over directory."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _move_mount(mount_fd, b"", target_fd, b"", flags, subject=subject)


def new_filesystem(kind: str, options: dict[str, str], attributes: int) -> int:
    """A fresh file system as a detached mount (fsopen, fsconfig, fsmount). An empty option value sets a flag.

    EPERM: the kind is not allowed in this user namespace, or its fresh copy would reveal what is masked outside.
    """
    context = _fsopen(kind.encode(), FSOPEN_CLOEXEC, subject=kind)
    try:
        for key, value in options.items():
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


def pivot_root_here() -> None:
    """pivot_root(".", "."), then detach the old root that now lies over the new one (pivot_root(2), NOTES).

    EINVAL: the new root is not a mount, a parent is shared, or the present root is the initramfs.
    """
    checked(libc.pivot_root(b".", b"."), "pivot_root")
    checked(libc.umount2(b".", MNT_DETACH), "umount2")
