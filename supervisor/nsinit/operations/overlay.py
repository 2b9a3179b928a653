"""Overlays: directories of the host below, a directory above them that takes what is written (overlayfs.rst).

Layers are opened once, and named to the kernel as /proc/self/fd/N: whatever a path holds needs no escape, and what is
locked is what is mounted.
"""

import contextlib
import errno
import fcntl
import os

from supervisor.kernel import files, mounts, mounts_classic
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations.mount_options import Options
from supervisor.nsinit.operations.mounts import put

LONGEST_STRING = 255  # fsconfig(2), FSCONFIG_SET_STRING
OVERLAYFS_SUPER_MAGIC = 0x794C7630


class Layers:
    """What one overlay is made of. size, upper and work may be ""."""

    def __init__(self, userxattr: str, size_bytes: str, upper: str, work: str, lower: tuple[str, ...]) -> None:
        """userxattr: "1" in a user namespace. size_bytes: of a tmpfs, where no upper is given. lower: topmost first."""
        self.userxattr = userxattr == "1"
        self.size_bytes = size_bytes
        self.upper = upper
        self.work = work
        self.lower = lower


def mount(
    box: Box, target: str, lower: str, userxattr: str, size_bytes: str, upper: str, work: str, *rest: str
) -> None:
    """mount.overlay: so many lower directories, then options."""
    count = int(lower)
    tree = create(box, Layers(userxattr, size_bytes, upper, work, rest[:count]), Options(rest[count:]).attributes)
    put(box, tree, target)
    os.close(tree)


def create(box: Box, layers: Layers, attributes: int) -> int:
    """A new overlay, not mounted yet: its descriptor. Read-only without an upper: of the lower directories alone."""
    lower = [_open(path, os.O_PATH) for path in layers.lower]
    upper: list[int] = []
    temporary = -1
    if layers.upper:
        upper = _kept(box, layers)
    elif not attributes & mounts.MOUNT_ATTR_RDONLY:
        temporary = _temporary(layers.size_bytes)
        upper = _thrown_away(temporary, lower[0])
    options = _lower_options(list(map(mounts_classic.by_descriptor, lower)))
    options += zip(("upperdir", "workdir"), map(mounts_classic.by_descriptor, upper), strict=bool(upper))
    if layers.userxattr:
        options.append(("userxattr", ""))
    try:
        tree = mounts.new_filesystem("overlay", options, attributes)
    except KernelError as error:
        raise _explained(error, layers, lower, upper) from None
    if temporary >= 0:
        mounts.detach(temporary)  # the overlay has its own hold of it
        os.close(temporary)
    for fd in (*lower, *upper):
        os.close(fd)
    return tree


def _lower_options(lower: list[str]) -> list[tuple[str, str]]:
    """One string as long as it may be; else one option for each, which is of Linux 6.5."""
    joined = ":".join(lower)
    return [("lowerdir", joined)] if len(joined) <= LONGEST_STRING else [("lowerdir+", path) for path in lower]


def _open(path: str, flags: int) -> int:
    return files.open_file(path, flags | os.O_DIRECTORY | os.O_CLOEXEC)


def _kept(box: Box, layers: Layers) -> list[int]:
    """Upper and work directory, both locked: the kernel would mount them a second time, and corrupt what is in them."""
    upper = _open(layers.upper, os.O_RDONLY)
    _lock(box, upper, layers.upper)
    if not os.path.lexists(layers.work):
        files.mkdir(layers.work, 0o700)
    work = _open(layers.work, os.O_RDONLY)
    _lock(box, work, layers.work)
    return [upper, work]


def _lock(box: Box, fd: int, path: str) -> None:
    """For as long as the sandbox lives: the keeper has the lock with us, and keeps it until it has reaped us."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise KernelError(error.errno or 0, "flock", path, "another sandbox has it mounted") from None
    box.channel.need("hold", path, fd=fd)


def _temporary(size_bytes: str) -> int:
    """A tmpfs of our own, mounted over the root for a moment: layers have to be mounted (before Linux 6.15)."""
    options = {"mode": "755", **({"size": size_bytes} if size_bytes else {})}
    tree = mounts.new_filesystem("tmpfs", options, mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV)
    slash = _open("/", os.O_PATH)
    mounts.attach(tree, slash, subject="/")
    os.close(slash)
    return tree


def _thrown_away(tree: int, topmost: int) -> list[int]:
    """Upper and work in it. The overlay's own root has the upper's owner and mode: those of the topmost lower one."""
    like = os.fstat(topmost)
    for name in ("upper", "work"):
        files.mkdir(name, 0o755, dir_fd=tree)
    upper, work = (
        files.open_file(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree) for name in ("upper", "work")
    )
    if files.OVERFLOW_ID not in (like.st_uid, like.st_gid):
        with contextlib.suppress(OSError):  # not mapped here: it stays ours
            os.fchown(upper, like.st_uid, like.st_gid)
    files.fchmod(upper, like.st_mode & 0o7777)
    return [upper, work]


def _explained(error: KernelError, layers: Layers, lower: list[int], upper: list[int]) -> KernelError:
    """The kernel says why in its log only, which not everybody may read."""
    text = error.strerror or ""
    if error.errno == errno.EINVAL:
        text = _reason(layers, lower, upper) or text
    return KernelError(error.errno or 0, error.syscall, layers.upper or layers.lower[0], text)


def _reason(layers: Layers, lower: list[int], upper: list[int]) -> str:
    if layers.upper:
        if mounts_classic.mount_id(upper[0]) != mounts_classic.mount_id(upper[1]):
            return f"{layers.upper} and {layers.work} are not in one mount of one file system"
        if files.filesystem_type(upper[0]) == OVERLAYFS_SUPER_MAGIC:
            return f"{layers.upper} lies in an overlay, which cannot take another one's writes"
    below = [path for path in layers.lower if _has_mounts(path)]
    if below:
        return f"there are mounts below {below[0]}, which an overlay would uncover"
    if len(_lower_options(list(map(mounts_classic.by_descriptor, lower)))) > 1:
        return f"{len(lower)} lower directories: so many need Linux 6.5"
    return ""


def _has_mounts(path: str) -> bool:
    prefix = os.path.realpath(path).rstrip("/") + "/"
    return any(mount.path.startswith(prefix) for mount in mounts_classic.mounts().values() if mount.path != "/")
