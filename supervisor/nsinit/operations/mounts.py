"""Phases that mount into the new root."""

import errno
import os
import stat

from supervisor.kernel import files
from supervisor.kernel import mounts as kernel
from supervisor.kernel.files import open_in_root
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations.targets import open_target

ATTRIBUTES = {
    "ro": kernel.MOUNT_ATTR_RDONLY,
    "nosuid": kernel.MOUNT_ATTR_NOSUID,
    "nodev": kernel.MOUNT_ATTR_NODEV,
    "noexec": kernel.MOUNT_ATTR_NOEXEC,
}
# Major and minor numbers of the nodes (Documentation/admin-guide/devices.txt): a bound node must be the real one.
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)


def _mount(box: Box, tree: int, target: str, *, directory: bool = True) -> None:
    place = open_target(box.root_fd, target, directory=directory)
    kernel.attach(tree, place, subject=target)
    os.close(place)


def dev(box: Box, *nodes: str) -> None:
    """mount.dev: a tmpfs (0755: sticky 1777 would refuse O_CREAT on a node), bound nodes, devpts, shm."""
    tree = kernel.new_filesystem("tmpfs", {"mode": "755"}, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NOEXEC)
    _mount(box, tree, "/dev")
    for node in nodes:
        source = kernel.open_tree(f"/dev/{node}", recursive=False)
        found = os.fstat(source).st_rdev
        if (os.major(found), os.minor(found)) != DEVICES[node]:
            raise KernelError(errno.ENXIO, "open_tree", f"/dev/{node}", "the host's node is another device")
        place = files.open_file(node, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=tree)
        kernel.attach(source, place, subject=f"/dev/{node}")
        os.close(place)
        os.close(source)
    for text, name in LINKS:
        files.symlink(text, name, dir_fd=tree)
    files.mkdir("pts", 0o755, dir_fd=tree)
    # No gid=5: that group is rarely mapped, and EINVAL then.
    terminals = kernel.new_filesystem(
        "devpts", {"mode": "620", "ptmxmode": "666"}, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NOEXEC
    )
    place = files.open_file("pts", os.O_PATH | os.O_CLOEXEC, dir_fd=tree)
    kernel.attach(terminals, place, subject="/dev/pts")
    os.close(place)
    os.close(terminals)
    files.mkdir("shm", 0o1777, dir_fd=tree)
    shm = open_in_root(tree, "shm", os.O_RDONLY | os.O_DIRECTORY)
    files.fchmod(shm, 0o1777)  # the umask took bits away
    os.close(shm)
    os.close(tree)


def proc(box: Box, kind: str = "fresh") -> None:
    """mount.proc: fresh, while the host's is still visible, EPERM where only a masked one is; or `host`, that one."""
    attributes = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC
    if kind == "host":
        tree = kernel.open_tree("/proc", recursive=True)
        kernel.set_attributes(tree, attributes, recursive=True, subject="/proc")
    else:
        if box.outside_uid == 0:  # files of /proc/sys ask for the host's uid 0 and no capability
            attributes |= kernel.MOUNT_ATTR_RDONLY
        tree = kernel.new_filesystem("proc", {}, attributes)
    _mount(box, tree, "/proc")
    os.close(tree)


def bind(box: Box, source: str, target: str, *options: str) -> None:
    """mount.bind: recursive unless `bind` is among the options; inherited restrictions stay."""
    recursive = "bind" not in options
    tree = kernel.open_tree(source, recursive=recursive)
    attributes = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    for option in options:
        attributes |= ATTRIBUTES.get(option, 0)
    kernel.set_attributes(tree, attributes, recursive=recursive, subject=source)
    _mount(box, tree, target, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
    os.close(tree)


def tmpfs(box: Box, target: str, size_bytes: str, mode: str, *options: str) -> None:
    """mount.tmpfs: size "" is the kernel's default, half of the memory."""
    attributes = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
    for option in options:
        attributes |= ATTRIBUTES.get(option, 0)
    settings = {"mode": mode, **({"size": size_bytes} if size_bytes else {})}
    tree = kernel.new_filesystem("tmpfs", settings, attributes)
    _mount(box, tree, target)
    os.close(tree)
