"""One daemon at a time: a lock on a file, gone with the process that holds it."""

import fcntl
import os
from contextlib import suppress


class LockedError(Exception):
    """Another daemon is alive, or the file cannot be made."""


def keep_lock(fd: int, path: str, variable: str) -> int:
    """Go on with a lock whose descriptor was inherited: the descriptor. Where it is another file's, as lock()."""
    with suppress(OSError):
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
    os.close(fd)
    return lock(path, variable)


def lock(path: str, variable: str) -> int:
    """Take the lock: its descriptor. LockedError names the daemon that has it.

    variable: of the environment, by which two daemons are kept apart.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LockedError(f"cannot make {path}: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise LockedError(
            f"cannot start: a daemon is running already (pid {owner}, {path}); stop it with `nsvisor shutdown`, "
            f"or give this one an {variable} of its own"
        ) from None
    except OSError as error:
        os.close(fd)
        raise LockedError(f"cannot lock {path}: {error.strerror}") from None
    with suppress(OSError):  # a full disk costs the words of a refusal, not the lock
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd
