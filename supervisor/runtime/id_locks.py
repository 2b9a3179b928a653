"""Locks on ids: the kernel tells whether two users of ids overlap, and a lock ends with whoever held it.

Who uses a slice holds a lock on the bytes [uid, uid + count) of a file that never has any.
"""

import errno
import fcntl
import os
import struct
from contextlib import suppress

from supervisor.spec.facts import IdSlice

_FLOCK = "hhqqi4x"  # struct flock of 64-bit systems


class Locks:
    """Locks on ids, of this process: open file description locks (fcntl(2)), so that a second `open` conflicts too."""

    def __init__(self, state_directory: str, uid: int) -> None:
        """The file is one for all nsvisors of a user where there is a place for it; OSError."""
        session = f"/run/user/{uid}"
        try:
            mine = os.stat(session).st_uid == os.geteuid()
        except OSError:
            mine = False
        path = os.path.join(session if mine else state_directory, "nsvisor-ids.lock" if mine else "ids.lock")
        self._path = path
        self._fd = -1

    @property
    def fd(self) -> int:
        """Who inherits it has the locks; -1 where there are none."""
        return self._fd

    def inherit(self, fd: int) -> None:
        """Go on with the locks of a program that this process was before."""
        with suppress(OSError):
            if os.path.samestat(os.fstat(fd), os.stat(self._path)):
                self._fd = fd
                return
        os.close(fd)

    def _file(self) -> int:
        if self._fd < 0:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        return self._fd

    def is_free(self, ids: IdSlice) -> bool:
        """Whether nobody else holds any of them."""
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, ids.uid, ids.count, 0)
        answer = fcntl.fcntl(self._file(), fcntl.F_OFD_GETLK, request)
        return bool(struct.unpack(_FLOCK, answer)[0] == fcntl.F_UNLCK)

    def take(self, ids: IdSlice) -> bool:
        """Lock them; False where somebody else has."""
        try:
            self._set(fcntl.F_WRLCK, ids)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def release(self, ids: IdSlice) -> None:
        """Unlock them."""
        self._set(fcntl.F_UNLCK, ids)

    def _set(self, kind: int, ids: IdSlice) -> None:
        fcntl.fcntl(self._file(), fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, os.SEEK_SET, ids.uid, ids.count, 0))

    def close(self) -> None:
        """Unlock all."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
