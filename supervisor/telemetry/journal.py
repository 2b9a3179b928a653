"""The journal's native protocol: one datagram to systemd-journald for each entry of named fields.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
"""

import errno
import fcntl
import os
import select
import socket
import struct
from array import array
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog(3)

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_GONE = (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE)
_LENGTH = struct.Struct("<Q")


def encode_field(name: str, value: bytes) -> bytes:
    """One field of an entry. Names are A-Z, 0-9 and inner underscores, at most 64; a value may be any bytes."""
    if b"\n" in value:
        return b"%b\n%b%b\n" % (name.encode(), _LENGTH.pack(len(value)), value)
    return b"%b=%b\n" % (name.encode(), value)


def is_journal(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether this descriptor is the stream to the journal that systemd made ($JOURNAL_STREAM, systemd.exec(5))."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalSocket:
    """A way to journald that never waits. It is opened by the first entry, and anew when journald was replaced."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def send(self, entry: bytes) -> None:
        """Hand over one entry, of any size.

        OSError: EAGAIN while its queue is full, ENOENT and ECONNREFUSED without a journald, EMFILE, ENOMEM.
        """
        if self._socket is not None:
            try:
                self._send(self._socket, entry)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self.close()
            else:
                return
        self._send(self._open(), entry)

    def poll(self, timeout_ms: int) -> bool:
        """Wait for room in the queue, at most so long. False where there is none, or no journald."""
        if self._socket is None:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(timeout_ms))

    def fileno(self) -> int:
        """The descriptor, to wait until it is writable; -1 where it is not open."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Let go of the descriptor. The next entry opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        self._socket = made
        return made

    def _send(self, to: socket.socket, entry: bytes) -> None:
        try:
            to.send(entry)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            _send_as_file(to, entry)


def _send_as_file(to: socket.socket, entry: bytes) -> None:
    """More than a datagram takes goes as a memfd that nobody can change any more."""
    fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        done = 0
        while done < len(entry):
            done += os.write(fd, memoryview(entry)[done:])
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        to.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))])
    finally:
        os.close(fd)
