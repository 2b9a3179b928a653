"""Which keepers there are: a file for each in the state directory, locked as long as the keeper lives.

The runtime directory may be deleted, and its sockets with it, under a daemon that dies then: its keeper would be out of
reach, and the next daemon would start second copies of all workers. Each keeper therefore listens beside its record,
too. The lock is flock(2)'s: the keeper inherits the locked descriptor and does nothing with it.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from supervisor.runtime import keeper_process

PREFIX = "keeper-"
SOCKET = ".sock"
LONGEST_BYTES = 65536


class Known(msgspec.Struct):
    """What a record says. started: clock ticks since boot, field 22 of /proc/PID/stat."""

    pid: int
    started: int
    cgroup: str = ""  # the directory below which its workers have theirs; "" where they have none


class Record:
    """One keeper's. `known` is None while a daemon that died had not written it: then it had no workers either."""

    def __init__(self, directory: str, name: str) -> None:
        self.path = os.path.join(directory, name)
        self._directory, self._name = directory, name
        self.known: Known | None = None

    def read(self) -> None:
        """Look what it says."""
        with suppress(OSError, msgspec.DecodeError):
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # whatever it is, it holds nothing up
            try:
                self.known = msgspec.json.decode(os.read(fd, LONGEST_BYTES), type=Known)
            finally:
                os.close(fd)

    def write(self, pid: int, cgroup: str) -> None:
        """Say whose it is, if it can be written: the lock alone would only tell that there is one."""
        self.known = Known(pid, started(pid), cgroup)
        with suppress(OSError):  # a full disk, or a state directory that is gone
            fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(fd, msgspec.json.encode(self.known).ljust(os.fstat(fd).st_size), 0)
            finally:
                os.close(fd)

    def names_its_keeper(self) -> bool:
        """Whether the process that it names is still the one that it named."""
        return self.known is not None and self.known.started == started(self.known.pid) != 0

    def is_held(self) -> bool:
        """Whether its keeper lives."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(fd)
        return False

    def listen(self) -> socket.socket:
        """Bind the keeper's socket beside it. OSError."""
        with _short(self._directory) as directory:
            return keeper_process.listen(f"{directory}/{self._name}{SOCKET}")

    def connect(self) -> socket.socket | None:
        """Connect to the keeper; None where nobody listens."""
        with _short(self._directory) as directory:
            return keeper_process.connect(f"{directory}/{self._name}{SOCKET}")

    def remove(self) -> None:
        """The keeper has left, and all that it had."""
        for path in (self.path, self.path + SOCKET):
            with suppress(OSError):
                os.unlink(path)


def make(directory: str) -> tuple[Record, int]:
    """Make a record for a keeper to come: with the locked descriptor that it is to inherit. OSError."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    number = 1
    while True:
        record = Record(directory, f"{PREFIX}{number}")
        try:
            fd = os.open(record.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            number += 1
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            record.remove()
            raise
        return record, fd


def find(directory: str) -> list[Record]:
    """Find those of all keepers, living and dead."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.startswith(PREFIX) and not name.endswith(SOCKET))
    except OSError:
        return []
    records = [Record(directory, name) for name in names]
    for record in records:
        record.read()
    return records


def started(pid: int) -> int:
    """When a process was started, in clock ticks since boot; 0 where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


@contextmanager
def _short(directory: str) -> Iterator[str]:
    """A path of the directory that fits into a socket's address, however long its own is."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
