"""Records to a descriptor, whatever state it is in: closed, full, broken, stuck. The daemon neither fails nor waits."""

import os
import select
import stat
from collections.abc import Callable

PATIENCE_MS = 100  # how long a reader that stopped reading is waited for, once
_ATOMIC_BYTES = 4096  # PIPE_BUF: a pipe that polls writable takes so much without blocking


class RecordWriter:
    """A structlog logger that writes each record, already encoded and with its line end, by write(2).

    `note` makes the record that tells how many were lost, once writing works again.
    """

    def __init__(self, fd: int, note: Callable[[int], bytes]) -> None:
        self.lost = 0
        self._fd = fd
        self._note = note
        self._torn = False  # the last thing written has no line end
        self._patience_ms = PATIENCE_MS
        self._poll: select.poll | None = None
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            self._fd = -1  # closed: another file may get the number later, and must not get our records
            return
        if not stat.S_ISREG(mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)

    def write(self, record: bytes) -> None:
        """Write one record, or count it as lost."""
        if self.lost or self._torn:
            record = (b"\n" if self._torn else b"") + (self._note(self.lost) if self.lost else b"") + record
        done = 0
        try:
            while done < len(record):
                done += self._some(record[done:] if done else record)
        except OSError:
            self.lost += 1
            self._torn = self._torn or done > 0
            self._patience_ms = 0
        else:
            self.lost = 0
            self._torn = False
            self._patience_ms = PATIENCE_MS

    def _some(self, rest: bytes) -> int:
        if self._poll is None:
            return os.write(self._fd, rest)
        if not self._poll.poll(self._patience_ms):
            raise BlockingIOError
        return os.write(self._fd, rest[:_ATOMIC_BYTES])

    debug = info = warning = error = critical = write
