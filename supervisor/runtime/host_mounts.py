"""The host's mounts, looked at only where the kernel says that one has changed (proc_pid_mountinfo(5))."""

import os
import select
from collections.abc import Iterable
from contextlib import suppress

# File systems whose server, or whose program, may be gone: to look at a path there may take for ever.
REMOTE = ("9p", "afs", "autofs", "ceph", "cifs", "coda", "fuse", "lustre", "ncp", "nfs", "smb")


class HostMounts:
    """In this process's mount namespace. Opened when it is first asked."""

    def __init__(self) -> None:
        self._fd = -1
        self._generation = 0
        self._lines: tuple[tuple[str, str], ...] = ()  # mount point, line
        self._remote: frozenset[int] = frozenset()

    def generation(self) -> int:
        """Another number after every change."""
        if self._fd < 0:
            with suppress(OSError):
                self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        poll = select.poll()
        poll.register(self._fd, select.POLLPRI)
        if not self._generation or self._fd < 0 or poll.poll(0):
            self._generation += 1
            self._read()
        return self._generation

    def at(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The lines of what is mounted at these paths and below, by the last generation()."""
        roots = {path.rstrip("/") for path in paths}
        return tuple(line for point, line in self._lines if _is_below(point, roots))

    def remote(self) -> frozenset[int]:
        """Device numbers of file systems that may not answer, by the last generation()."""
        return self._remote

    def _read(self) -> None:
        lines, remote = [], set()
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as opened:
                for line in opened:
                    words = line.split()
                    kind = words[words.index("-", 6) + 1]
                    lines.append((words[4], line))
                    if kind.startswith(REMOTE):
                        remote.add(os.makedev(*map(int, words[2].split(":"))))
        except (OSError, ValueError, IndexError):
            pass
        self._lines, self._remote = tuple(lines), frozenset(remote)

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _is_below(point: str, roots: set[str]) -> bool:
    while point and point != "/":
        if point in roots:
            return True
        point = point.rpartition("/")[0]
    return False
