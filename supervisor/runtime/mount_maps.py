"""Mounts that translate owners: only a privileged process of the host may say so, and only before they are mounted."""

import os

from supervisor.kernel.mounts import set_id_map


def map_mount(mount_fd: int, pid: int, subject: str) -> None:
    """Have a sandbox's detached mount show and store owners as its user namespace has them: 0 on disk is 0 inside.

    OSError: EPERM without CAP_SYS_ADMIN in the file system's user namespace; EINVAL where the file system cannot.
    """
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        set_id_map(mount_fd, namespace, subject=subject)
    finally:
        os.close(namespace)
