"""What processes cost, as /proc tells it; and the end of those that were started here."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def cpu_s(pid: int) -> float:
    """CPU time of all threads, ended ones too: the process's clock, as clock_getcpuclockid(3) makes it up."""
    return time.clock_gettime((~pid << 3) | 2)


def pss_bytes(pid: int) -> int | None:
    """The proportional set size. None: only root may look (a process that is not dumpable), or it is gone."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0) * 1024


def switches(pid: int) -> dict[int, int]:
    """How often each of its threads has gone to sleep: one for each wake-up."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            lines = (task / "status").read_text().splitlines()
            line = next(one for one in lines if one.startswith("voluntary_ctxt_switches"))
            found[int(task.name)] = int(line.split()[1])
    return found


def children(pid: int) -> list[int]:
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(child) for child in file.read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """All below, parents first."""
    found = children(pid)
    for child in found:
        found += [one for one in children(child) if one not in found]
    return found


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def end_tree(pid: int, timeout_s: float = 20.0) -> None:
    """Stop a child so that it starts nothing anew, kill all below it, then itself, and reap it."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + timeout_s
    while living := [one for one in descendants(pid) if not _ended(one)]:
        for one in living:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise SystemExit(f"cannot end what {pid} has started: {living[:5]}")
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
