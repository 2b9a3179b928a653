"""Mount targets: found and made below the new root, never outside it."""

import errno
import os

from supervisor.kernel import files
from supervisor.kernel.files import open_in_root
from supervisor.kernel.libc import KernelError


def open_target(root_fd: int, path: str, *, directory: bool) -> int:
    """O_PATH descriptor of a mount target, made where it is missing (0755 directories, an empty file)."""
    try:
        return open_in_root(root_fd, path, os.O_PATH)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, name = os.path.split(path.rstrip("/"))
    parent_fd = open_target(root_fd, parent or "/", directory=True)
    try:
        if directory:
            files.mkdir(name, 0o755, dir_fd=parent_fd)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(files.open_file(name, flags, 0o644, dir_fd=parent_fd))
        return open_in_root(root_fd, path, os.O_PATH)
    finally:
        os.close(parent_fd)
