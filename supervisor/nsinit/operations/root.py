"""Phases that put the root together, close it, and move into it.

The new root is mounted over `/`. This process goes on seeing the old one, for its own root lies below the new
mount; sources are found by their host paths, targets through the new root's descriptor, and no mount point is needed.
"""

import errno
import os
import stat

from supervisor.kernel import files, mounts
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations import overlay

LOCKED_DOWN = mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV


def propagation(_box: Box) -> None:
    """mount.propagation: host mounts still come in, nothing goes out."""
    mounts.set_propagation("/", mounts.MS_REC | mounts.MS_SLAVE)
    mounts.begin()


def prepare(box: Box, kind: str, *arguments: str) -> str | None:
    """rootfs.prepare: `host` with entries (kind, target, source), or a kind with arguments of its own.

    `dir` with a path, 1 where it is writable, and `idmap` where a privileged daemon has the owners translated; `tmpfs`
    with a size or ""; `overlay` as overlay.Layers.
    """
    if kind == "dir":
        path, writable, *words = arguments
        box.root_fd = mounts.open_tree(path, recursive=True)
        if not stat.S_ISDIR(os.fstat(box.root_fd).st_mode):
            raise KernelError(errno.ENOTDIR, "open_tree", path)
        read_only = 0 if writable == "1" else mounts.MOUNT_ATTR_RDONLY
        attributes = LOCKED_DOWN | read_only
        mounts.set_attributes(box.root_fd, attributes, propagation=mounts.MS_PRIVATE, recursive=True, subject=path)
        if "idmap" in words:
            box.channel.need("mount.idmap", path, fd=box.root_fd)
        if read_only:  # the top one only when its mount points exist: rootfs.seal
            try:
                mounts.set_attributes(box.root_fd, 0, clear=mounts.MOUNT_ATTR_RDONLY, recursive=False)
            except KernelError as error:
                if error.errno != errno.EPERM:  # read-only outside already: the mount points must be there
                    raise
        _cover(box)
        return None
    if kind == "overlay":
        userxattr, size_bytes, upper, work, *lower = arguments
        layers = overlay.Layers(userxattr, size_bytes, upper, work, tuple(lower))
        box.root_fd = overlay.create(box, layers, LOCKED_DOWN)
        _cover(box)
        return None
    size = {"size": arguments[0]} if kind == "tmpfs" and arguments[0] else {}
    box.root_fd = mounts.new_filesystem("tmpfs", {"mode": "755", **size}, LOCKED_DOWN)
    _cover(box)
    if kind == "tmpfs":
        return None
    entries = [arguments[at : at + 3] for at in range(0, len(arguments), 3)]
    absent = [entry[2] for entry in entries if not _entry(box.root_fd, *entry)]
    return f"left out, gone from the host: {' '.join(absent)}" if absent else None


def _cover(box: Box) -> None:
    slash = files.open_file("/", os.O_PATH | os.O_CLOEXEC)
    mounts.attach(box.root_fd, slash, subject="/")
    os.close(slash)


def _entry(root_fd: int, kind: str, target: str, source: str) -> bool:
    """One entry of the host view, on a tmpfs nobody else sees: plain paths are safe here."""
    target = target.lstrip("/")
    if kind == "dir":
        files.mkdir(target, 0o755, dir_fd=root_fd)
        return True
    if kind == "symlink":
        files.symlink(source, target, dir_fd=root_fd)
        return True
    try:
        tree = mounts.open_tree(source, recursive=True)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):
            return False
        raise
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        files.mkdir(target, 0o755, dir_fd=root_fd)
        place = files.open_file(target, os.O_PATH | os.O_CLOEXEC, dir_fd=root_fd)
    else:
        place = files.open_file(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o444, dir_fd=root_fd)
    attributes = LOCKED_DOWN | mounts.MOUNT_ATTR_RDONLY
    mounts.set_attributes(tree, attributes, propagation=mounts.MS_PRIVATE, recursive=True, subject=source)
    mounts.attach(tree, place, subject=target)
    os.close(place)
    os.close(tree)
    return True


def seal(box: Box) -> None:
    """rootfs.seal: not recursive, so that writable mounts inside stay so."""
    mounts.set_attributes(box.root_fd, mounts.MOUNT_ATTR_RDONLY, recursive=False)


def pivot(box: Box) -> None:
    """root.pivot. On an initramfs, which cannot be pivoted away from, the covering root is entered by chroot."""
    files.fchdir(box.root_fd)
    try:
        mounts.pivot_root_here()
    except KernelError as error:
        if error.errno != errno.EINVAL or error.syscall != "pivot_root":
            raise
        files.chroot(".")
    files.chdir("/")
