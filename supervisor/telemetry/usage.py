"""CPU time and memory of whole process trees.

Processes come and go while they are counted: what ended meanwhile is left out, and its CPU time is still there
as its parent's, once that has waited for it.

/proc/PID/stat has all of it, so that each process is read once (psutil reads five files for the same, and takes five
times as long).
"""

import os
import time
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STAT_BYTES = 1024  # 52 numbers and a name


class Usage(msgspec.Struct, frozen=True):
    """What one tree uses. Resident memory counts a page for every process that maps it."""

    cpu_s: float  # user and system, with children that were waited for
    rss_bytes: int
    processes: int
    cpu_percent: float | None = None  # since the sample before; 100 is one CPU


def sample(roots: Iterable[int]) -> dict[int, Usage]:
    """Usage of the trees below these pids, by pid, in one pass over /proc. Roots that are gone are left out.

    Some 15 µs for each process of the host: with many, call it in a thread.
    """
    return {root: usage for root, (usage, _created) in _trees(roots).items()}


class Sampler:
    """Remembers the last sample of each tree, for cpu_percent. Used from one thread at a time."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[int, float, float]] = {}  # pid: when created, when sampled, CPU seconds

    def sample(self, roots: Iterable[int]) -> dict[int, Usage]:
        """Like the function, with cpu_percent from a root's second sample on."""
        now = time.monotonic()
        found = {}
        for root, (usage, created) in _trees(roots).items():
            last = self._before.get(root)
            self._before[root] = (created, now, usage.cpu_s)
            found[root] = usage
            if last is not None and last[0] == created and now > last[1]:
                used_s = max(0.0, usage.cpu_s - last[2])
                found[root] = msgspec.structs.replace(usage, cpu_percent=100 * used_s / (now - last[1]))
        for root in [root for root in self._before if root not in found and not os.path.exists(f"/proc/{root}")]:
            del self._before[root]
        return found


class _Process(NamedTuple):
    """What /proc/PID/stat says (proc(5))."""

    parent: int
    cpu_s: float
    rss_bytes: int
    created: int  # clock ticks since boot


def _trees(roots: Iterable[int]) -> dict[int, tuple[Usage, int]]:
    wanted = set(roots)
    if not wanted:
        return {}
    processes, children = _scan()
    found = {}
    for root in wanted:
        process = processes.get(root)
        if process is None:
            continue
        tree, at = [root], 0
        while at < len(tree):
            tree += children.get(tree[at], ())
            at += 1
        parts = [processes[pid] for pid in tree]
        usage = Usage(sum(part.cpu_s for part in parts), sum(part.rss_bytes for part in parts), len(parts))
        found[root] = (usage, process.created)
    return found


def _scan() -> tuple[dict[int, _Process], dict[int, list[int]]]:
    """All processes, and the children of each."""
    processes: dict[int, _Process] = {}
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        process = _read(name)
        if process is not None:
            pid = int(name)
            processes[pid] = process
            children.setdefault(process.parent, []).append(pid)
    return processes, children


def _read(pid: str) -> _Process | None:
    """None where it has ended."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, STAT_BYTES)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last by hidepid=1: another user's
        return None
    words = text[text.rindex(b")") + 2 :].split()  # from the third field on: the name before may hold anything
    used = sum(map(int, words[11:15]))  # utime, stime, cutime, cstime
    return _Process(int(words[1]), used / TICKS_PER_S, int(words[21]) * PAGE_BYTES, int(words[19]))
