"""PIDFD_GET_INFO (include/uapi/linux/pidfd.h): what became of a process that is somebody else's child."""

import errno
import fcntl
import struct

PIDFD_GET_INFO = 0xC040FF0B  # _IOWR(0xFF, 11, 64 bytes); Linux 6.13
PIDFD_INFO_EXIT = 1 << 3  # Linux 6.15
_INFO = struct.Struct("=QQ11Ii")  # mask, cgroup id, eleven ids, exit code


def is_offered(pidfd: int) -> bool:
    """Whether this kernel answers at all; one that does reports POLLHUP once the process has been reaped."""
    try:
        _ask(pidfd, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return True


def exit_status(pidfd: int) -> int | None:
    """Get the wait status, as waitpid(2) gave it to whoever reaped the process.

    None while it has not been reaped (POLLHUP, not POLLIN, tells that it was), or where the kernel cannot tell.
    """
    try:
        mask, *_, status = _ask(pidfd, PIDFD_INFO_EXIT)
    except OSError:  # ENOTTY, EINVAL before Linux 6.13; ESRCH before 6.15
        return None
    return int(status) if mask & PIDFD_INFO_EXIT else None


def _ask(pidfd: int, mask: int) -> tuple[int, ...]:
    return _INFO.unpack(fcntl.ioctl(pidfd, PIDFD_GET_INFO, _INFO.pack(mask, *[0] * 13)))
