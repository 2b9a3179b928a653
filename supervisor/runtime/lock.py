"""One daemon at a time: a lock on a file of the runtime directory, gone with the process that holds it."""

import fcntl
import os


class LockedError(Exception):
    """Another daemon is alive."""


def lock(path: str) -> int:
    """Take the lock: its descriptor. LockedError names the daemon that has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise LockedError(
            f"a daemon is running already (pid {owner}, {path}); stop it with `nsvisor shutdown`, "
            "or give this one an XDG_RUNTIME_DIR of its own"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd
