"""A sandbox that is made inside another's user namespace, for it joins what that one owns, which may be sealed.

The limit of further ones is lifted for the time of one unshare. A workload that waits for that moment could make a user
namespace of its own in it; the seccomp profile that goes with the seal does not let it.
"""

from __future__ import annotations

import errno
import os

from supervisor.kernel import files
from supervisor.kernel.clone import CLONE_NEWUSER
from supervisor.kernel.libc import KernelError
from supervisor.kernel.namespaces import unshare
from supervisor.nsinit.operations.locks import USER_NAMESPACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MOST = b"2147483647\n"


class Seal:
    """That of the user namespace that was joined last."""

    def __init__(self) -> None:
        self._limit = -1

    def joined(self) -> None:
        """Take hold of the limit, as long as a /proc is seen in which it can be written: another join may hide it."""
        try:
            limit = files.open_file(f"/proc/{USER_NAMESPACES}", os.O_RDWR | os.O_CLOEXEC)
        except KernelError:  # read-only, or not there: clone will say ENOSPC if it matters
            return
        if self._limit >= 0:
            os.close(self._limit)
        self._limit = limit

    def is_closed(self) -> bool:
        """Whether clone would be refused a user namespace, and this can help it."""
        if self._limit < 0 or files.filesystem_type(self._limit) != files.PROC_SUPER_MAGIC:
            return False
        return os.pread(self._limit, 32, 0).strip() == b"0"

    def unshare_user(self) -> None:
        """Enter a new user namespace. Not left to clone, which copies this process's memory first: 1 ms, not 0.1 ms.

        A process that stays outside closes the seal again: it takes a capability that this one leaves behind.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        keeps = files.fork()
        if keeps == 0:
            self._close_after(reader, writer)
        os.close(reader)
        try:
            os.pwrite(self._limit, MOST, 0)
            unshare(CLONE_NEWUSER)
        finally:
            os.close(writer)
            _, status = os.waitpid(keeps, 0)
            os.close(self._limit)
        if status:
            raise KernelError(errno.EIO, "write", f"/proc/{USER_NAMESPACES}", "the seal could not be closed again")

    def _close_after(self, reader: int, writer: int) -> NoReturn:
        failed = 1
        try:
            os.close(writer)
            os.read(reader, 1)  # until it is closed, by a death as well
            os.pwrite(self._limit, b"0\n", 0)
            failed = 0
        finally:
            os._exit(failed)
