"""Phases that make files, directories and links: mount.file and mount.secret.

A file is mounted, not written into the root: that may be a directory of the host, or read-only.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat

from supervisor.kernel import files
from supervisor.kernel import mounts as kernel
from supervisor.kernel.files import open_in_root
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box
from supervisor.nsinit.operations.mount_options import CLOSED, Options
from supervisor.nsinit.operations.mounts import put
from supervisor.nsinit.operations.targets import open_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SECRETS = "/run/secrets"
SECRETS_KIND = "ramfs"  # as tmpfs, but never swapped out; tmpfs has noswap for the host's root only
NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
LARGEST_PASSWD = 4 * 1024 * 1024


def make(box: Box, kind: str, target: str, *arguments: str) -> str | None:
    """mount.file: `symlink` with its text; `dir` with a mode; `file` with a mode, its content and options.

    `over`: a file, where there is one to be mounted over. `socket`: one of the daemon's, bound there.
    """
    if kind == "over" and not _is_there(box, target):
        return "skipped"
    if kind in ("file", "over"):
        mode, content, *words = arguments
        options = Options(tuple(words), CLOSED & ~kernel.MOUNT_ATTR_NOEXEC, read_only=True)
        data = content.encode("utf-8", "surrogateescape")
        mount_file(box, target, "tmpfs", lambda fd: _write(fd, data, int(mode, 8)), options)
        return None
    parent, name = os.path.split(target)
    place = open_target(box.root_fd, parent, directory=True)
    try:
        if kind == "socket":
            _bind_socket(box, place, name)
            return None
        return _symlink(place, name, arguments[0]) if kind == "symlink" else _directory(place, name, arguments[0])
    finally:
        os.close(place)


def _bind_socket(box: Box, parent_fd: int, name: str) -> None:
    """Whoever is in the sandbox may write to it. Bound here, it needs no way from here to the daemon's directories."""
    given = box.channel.need("notify", name)
    try:
        os.fchdir(parent_fd)
        _socket.socket(fileno=given).bind(name)
        os.chmod(name, 0o666)  # noqa: S103
    except OSError as error:
        raise KernelError(error.errno or 0, "bind", name) from None
    finally:
        os.chdir("/")


def _is_there(box: Box, target: str) -> bool:
    try:
        os.close(open_in_root(box.root_fd, target, os.O_PATH))
    except KernelError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return False
    return True


def _symlink(parent_fd: int, name: str, text: str) -> str | None:
    try:
        files.symlink(text, name, dir_fd=parent_fd)
    except KernelError as error:
        if error.errno != errno.EEXIST or _link_text(parent_fd, name) != text:
            raise
        return "there already"
    return None


def _link_text(parent_fd: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent_fd)
    except OSError:  # no link
        return None


def _directory(parent_fd: int, name: str, mode: str) -> str | None:
    try:
        files.mkdir(name, 0o700, dir_fd=parent_fd)
    except KernelError as error:
        if error.errno != errno.EEXIST or not stat.S_ISDIR(os.lstat(name, dir_fd=parent_fd).st_mode):
            raise
        return "there already, with the mode that it has"
    made = files.open_file(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    files.fchmod(made, int(mode, 8))  # the umask took bits away
    os.close(made)
    return None


def _write(fd: int, data: bytes, mode: int) -> None:
    while data:
        data = data[files.write(fd, data) :]
    files.fchmod(fd, mode)


def mount_file(box: Box, target: str, kind: str, fill: Callable[[int], None], options: Options) -> None:
    """Mount one file, of a new file system of this kind that nothing else of it is seen of."""
    tree = kernel.new_filesystem(kind, {"mode": "700"}, CLOSED)
    kernel.attach(tree, box.root_fd, subject=target)  # for a moment: before Linux 6.15 only what has a place is copied
    try:
        fd = files.open_file("content", NEW_FILE, 0o600, dir_fd=tree)
        try:
            fill(fd)
        finally:
            os.close(fd)
        fd = files.open_file("content", os.O_PATH | os.O_CLOEXEC, dir_fd=tree)
        copy = kernel.copy_tree(fd, subject=target)
        os.close(fd)
    finally:
        kernel.detach(tree)
        os.close(tree)
    clear = options.clear | CLOSED & ~options.attributes  # what it was born with and nobody asked for
    kernel.set_attributes(copy, options.attributes, clear=clear, recursive=False, subject=target)
    put(box, copy, target, directory=False)
    os.close(copy)


def secret(
    box: Box, name: str, target: str, mode: str, uid: str, gid: str, user: str, place: str, optional: str
) -> str | None:
    """mount.secret: the content comes by a descriptor, and goes from there to the file without touching this memory.

    place: `own`, a file system for itself; `more` and, for the one after which no other comes, `last`: /run/secrets.
    """
    try:
        source = box.channel.need("secret", name)
    except KernelError as error:
        if optional != "1" or error.errno != errno.ENOENT:
            raise
        source = -1
    owner = _owner(box, uid, gid, user)

    def fill(fd: int) -> None:
        left = os.fstat(source).st_size
        at = 0
        while left > 0:
            copied = files.sendfile(fd, source, at, left)
            if copied == 0:
                raise KernelError(errno.EIO, "sendfile", name, "the content ends early")
            at, left = at + copied, left - copied
        files.fchown(fd, *owner)
        files.fchmod(fd, int(mode, 8))

    try:
        if place != "own":
            _share(box, os.path.basename(target), fill if source >= 0 else None, last=place == "last")
        elif source >= 0:
            mount_file(box, target, SECRETS_KIND, fill, Options((), CLOSED, read_only=True))
    finally:
        if source >= 0:
            os.close(source)
    return None if source >= 0 else "skipped"


def _share(box: Box, name: str, fill: Callable[[int], None] | None, *, last: bool) -> None:
    if box.secrets_fd < 0:
        box.secrets_fd = kernel.new_filesystem(SECRETS_KIND, {"mode": "755"}, CLOSED)
        put(box, box.secrets_fd, SECRETS)
    if fill is not None:
        fd = files.open_file(name, NEW_FILE, 0o600, dir_fd=box.secrets_fd)
        try:
            fill(fd)
        finally:
            os.close(fd)
    if last:
        kernel.set_attributes(box.secrets_fd, kernel.MOUNT_ATTR_RDONLY, recursive=False, subject=SECRETS)
        os.close(box.secrets_fd)


def _owner(box: Box, uid: str, gid: str, user: str) -> tuple[int, int]:
    """The worker's ids; of a name those that the new root's passwd(5) gives it."""
    if not user:
        return int(uid), int(gid)
    fd = open_in_root(box.root_fd, "/etc/passwd", os.O_RDONLY | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            for line in os.pread(fd, LARGEST_PASSWD, 0).decode("utf-8", "surrogateescape").splitlines():
                fields = line.split(":")
                if fields[0] == user and len(fields) > 3:
                    return int(fields[2]), int(fields[3])
    finally:
        os.close(fd)
    raise KernelError(errno.ESRCH, "getpwnam", user, "no such user in the sandbox's /etc/passwd")
