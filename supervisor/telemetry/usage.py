"""CPU time and memory of whole process trees, by psutil.

Processes come and go while they are counted: what ended meanwhile is left out, and its CPU time is still there
as its parent's, once that has waited for it.
"""

import time
from collections.abc import Iterable

import msgspec
import psutil


class Usage(msgspec.Struct, frozen=True):
    """What one tree uses. Resident memory counts a page for every process that maps it."""

    cpu_s: float  # user and system, with children that were waited for
    rss_bytes: int
    processes: int
    cpu_percent: float | None = None  # since the sample before; 100 is one CPU


def sample(roots: Iterable[int]) -> dict[int, Usage]:
    """Usage of the trees below these pids, by pid, in one pass over /proc. Roots that are gone are left out.

    Some 40 µs for each process of the host and 30 for each of a tree: with many, call it in a thread.
    """
    return {root: usage for root, (usage, _created) in _trees(roots).items()}


class Sampler:
    """Remembers the last sample of each tree, for cpu_percent. Used from one thread at a time."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, float, float]] = {}  # pid: when created, when sampled, CPU seconds

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
        for root in [root for root in self._before if root not in found and not psutil.pid_exists(root)]:
            del self._before[root]
        return found


def _trees(roots: Iterable[int]) -> dict[int, tuple[Usage, float]]:
    wanted = set(roots)
    if not wanted:
        return {}
    processes, children = _scan()
    found = {}
    for root in wanted:
        process = processes.get(root)
        if process is None:
            continue
        try:
            created = process.create_time()
        except psutil.Error:
            continue
        tree, at = [root], 0
        while at < len(tree):
            tree += children.get(tree[at], ())
            at += 1
        parts = [part for part in (_one(processes[pid]) for pid in tree) if part is not None]
        if parts:
            found[root] = (Usage(sum(cpu_s for cpu_s, _ in parts), sum(rss for _, rss in parts), len(parts)), created)
    return found


def _scan() -> tuple[dict[int, psutil.Process], dict[int, list[int]]]:
    """All processes, and the children of each."""
    processes: dict[int, psutil.Process] = {}
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter():
        try:
            parent = process.ppid()
        except psutil.Error:
            continue
        processes[process.pid] = process
        children.setdefault(parent, []).append(process.pid)
    return processes, children


def _one(process: psutil.Process) -> tuple[float, int] | None:
    try:
        times = process.cpu_times()
        rss_bytes: int = process.memory_info().rss
    except psutil.Error:
        return None
    return times.user + times.system + times.children_user + times.children_system, rss_bytes
