"""Phases that mount into the new root."""

from __future__ import annotations

import errno
import os
import stat

from supervisor.kernel import files
from supervisor.kernel import mounts as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations.mount_options import CLOSED, Options
from supervisor.nsinit.operations.targets import open_target

# Major and minor numbers of the nodes (Documentation/admin-guide/devices.txt): a bound node must be the real one.
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)
DEV_LIMITS = {"size": "65536", "nr_inodes": "4096"}  # room for links and sockets; files belong elsewhere
TERMINALS = "256"  # of one sandbox; kernel.pty.max is for all of the host
ST_NODEV = 4  # statvfs(3)


def put(box: Box, tree: int, target: str, *, directory: bool = True) -> None:
    """Mount a detached mount at a path of the new root."""
    place = open_target(box.root_fd, target, directory=directory)
    kernel.attach(tree, place, subject=target)
    os.close(place)
    box.proc_is_seen = box.proc_is_seen and target != "/proc"


def dev(box: Box, shm_bytes: str, *nodes: str) -> None:
    """mount.dev: a tmpfs (0755: sticky 1777 would refuse O_CREAT on a node), bound nodes, devpts, shm.

    shm_bytes "": the user mounts something else there.
    """
    tree = kernel.new_filesystem(
        "tmpfs", {"mode": "755", **DEV_LIMITS}, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NOEXEC
    )
    put(box, tree, "/dev")
    for node in nodes:
        source = kernel.open_tree(f"/dev/{node}", recursive=False)
        close_node(source, node, check_device(source, node))
        place = files.open_file(node, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=tree)
        kernel.attach(source, place, subject=f"/dev/{node}")
        os.close(place)
        os.close(source)
    for text, name in LINKS:
        files.symlink(text, name, dir_fd=tree)
    # No gid=5: that group is rarely mapped, and EINVAL then.
    terminals = {"mode": "620", "ptmxmode": "666", "max": TERMINALS}
    _below(tree, "pts", "devpts", terminals, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NOEXEC)
    if shm_bytes:
        _below(tree, "shm", "tmpfs", {"mode": "1777", "size": shm_bytes}, CLOSED)
    os.close(tree)


def _below(tree: int, name: str, kind: str, settings: dict[str, str], attributes: int) -> None:
    """A file system at a new directory of a mount that nobody else sees: a plain name is safe here."""
    files.mkdir(name, 0o755, dir_fd=tree)
    place = files.open_file(name, os.O_PATH | os.O_CLOEXEC, dir_fd=tree)
    mounted = kernel.new_filesystem(kind, settings, attributes)
    kernel.attach(mounted, place, subject=f"/dev/{name}")
    os.close(place)
    os.close(mounted)


def check_device(fd: int, name: str) -> os.stat_result:
    """ENXIO for a node of the host's that is another device than its name says (runc CVE-2025-31133)."""
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or (os.major(found.st_rdev), os.minor(found.st_rdev)) != DEVICES[name]:
        raise KernelError(errno.ENXIO, "open_tree", f"/dev/{name}", "the host's node is another device")
    return found


def close_node(tree: int, name: str, found: os.stat_result) -> None:
    """Let a device of the host's keep its mode, owner and times: the host's root could change them inside as outside.

    What is written to it is not held up by that. Nobody else owns it: an id that is not mapped here costs no call.
    """
    if found.st_uid != files.OVERFLOW_ID:
        kernel.set_attributes(tree, kernel.MOUNT_ATTR_RDONLY, recursive=False, subject=f"/dev/{name}")


def proc(box: Box, target: str, kind: str = "fresh", *words: str) -> None:
    """mount.proc: fresh, while the host's is still visible, EPERM where only a masked one is; or `host`, that one.

    words: options, and settings as hidepid=invisible. The one at /proc is kept at hand, for sysctl.set and mount.mask.
    """
    options = Options(words, CLOSED)
    if kind == "host":
        tree = kernel.open_tree("/proc", recursive=True)
        options.apply(tree, recursive=True, subject="/proc")
    else:
        settings = dict(word.split("=", 1) for word in words if "=" in word)
        tree = kernel.new_filesystem("proc", settings, options.attributes)
    put(box, tree, target)
    if target == "/proc":
        box.proc_fd, box.proc_is_seen = tree, True
    else:
        os.close(tree)


def sysfs(box: Box, target: str, kind: str, *words: str) -> str | None:
    """mount.sysfs: read-only unless `rw`. `host`, or where a fresh one is refused: the host's with all below it."""
    options = Options(words, CLOSED, read_only=True)
    note = None
    tree = -1
    if kind == "fresh":
        try:
            tree = kernel.new_filesystem("sysfs", {}, options.attributes)
        except KernelError as error:
            if error.errno != errno.EPERM:
                raise
            note = "a fresh one is refused here: the host's, read-only"
    else:
        note = "without a network namespace of its own: the host's, read-only"
    if tree < 0:
        tree = kernel.open_tree("/sys", recursive=True)
        attributes = options.attributes | kernel.MOUNT_ATTR_RDONLY
        kernel.set_attributes(tree, attributes, propagation=kernel.MS_PRIVATE, recursive=True, subject="/sys")
    put(box, tree, target)
    os.close(tree)
    return note


def cgroup(box: Box, target: str, *words: str) -> str | None:
    """mount.cgroup: cgroup v2 as the cgroup namespace shows it; read-only unless `rw`. Optional: skipped if absent."""
    try:
        tree = kernel.new_filesystem("cgroup2", {}, Options(words, CLOSED, read_only=True).attributes)
    except KernelError as error:
        if "optional" in words and error.errno in {errno.ENODEV, errno.EBUSY, errno.EPERM}:
            return "skipped"
        raise
    controllers = _read(tree, "cgroup.controllers")
    put(box, tree, target)
    os.close(tree)
    return None if controllers else "no controllers: this host has them in cgroup v1, or did not delegate any"


def _read(directory_fd: int, name: str) -> bytes:
    fd = files.open_file(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        return os.read(fd, 4096).strip()
    finally:
        os.close(fd)


def mqueue(box: Box, target: str, *words: str) -> None:
    """mount.mqueue: EPERM without an ipc namespace of its own."""
    _fresh(box, "mqueue", {}, target, Options(words, CLOSED))


def devpts(box: Box, target: str, mode: str, *words: str) -> None:
    """mount.devpts: an instance of its own."""
    settings = {"mode": mode, "ptmxmode": "666", "max": TERMINALS}
    _fresh(box, "devpts", settings, target, Options(words, CLOSED & ~kernel.MOUNT_ATTR_NODEV))


def tmpfs(box: Box, target: str, size_bytes: str, mode: str, *words: str) -> None:
    """mount.tmpfs: size "" is the kernel's default, half of the memory."""
    _fresh(box, "tmpfs", {"mode": mode, **({"size": size_bytes} if size_bytes else {})}, target, Options(words))


def _fresh(box: Box, kind: str, settings: dict[str, str], target: str, options: Options) -> None:
    tree = kernel.new_filesystem(kind, settings, options.attributes)
    put(box, tree, target)
    os.close(tree)


def bind(box: Box, source: str, target: str, *words: str) -> str | None:
    """mount.bind: recursive unless `bind` is among the words; inherited restrictions stay.

    `optional`: skipped where there is no source. `idmap`: a privileged daemon has the owners translated. A device needs
    `dev`: ENODEV without it, or where the host has it on a file system without devices.
    """
    recursive = "bind" not in words
    try:
        tree = kernel.open_tree(source, recursive=recursive)
    except KernelError as error:
        if "optional" in words and error.errno == errno.ENOENT:
            return "skipped"
        raise
    options = Options(words)
    mode = os.fstat(tree).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        if options.attributes & kernel.MOUNT_ATTR_NODEV:
            raise KernelError(errno.ENODEV, "open_tree", source, 'a device, and "dev" is not among the options')
        if os.fstatvfs(tree).f_flag & ST_NODEV:
            raise KernelError(errno.ENODEV, "open_tree", source, "a device on a file system that is mounted nodev")
    options.apply(tree, recursive=recursive, subject=source)
    if "idmap" in words:
        box.channel.need("mount.idmap", source, fd=tree)
    put(box, tree, target, directory=stat.S_ISDIR(mode))
    if options.propagation != kernel.MS_PRIVATE:
        kernel.set_attributes(tree, 0, propagation=options.propagation, recursive=recursive, subject=target)
    os.close(tree)
    return None
