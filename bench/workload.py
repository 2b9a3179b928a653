"""The workload, compiled, in a root directory of its own; and the FIFO that it stamps."""

import os
import select
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Workload:
    """A root directory with /stamp and /spew in it, and a folder with the FIFO to bind at /bench."""

    def __init__(self, top: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise SystemExit("cannot measure a first instruction without a C compiler: apt-get install gcc libc6-dev")
        self.root = top / "root"
        for name in ("dev", "proc", "sys", "tmp", "etc", "bench"):
            (self.root / name).mkdir(parents=True)
        flags = ["-O2", "-Wall", "-static", "-s"]
        for name in ("stamp", "spew"):
            subprocess.run([compiler, *flags, "-o", self.root / name, HERE / f"{name}.c"], check=True)
        self.shared = top / "shared"
        self.shared.mkdir()
        os.mkfifo(self.shared / "fifo")
        self._fifo = os.open(self.shared / "fifo", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def next_stamp_ns(self, timeout_s: float = 10.0) -> int:
        """The next stamp, CLOCK_MONOTONIC."""
        if not select.select([self._fifo], [], [], timeout_s)[0]:
            raise SystemExit("the workload did not start: see the daemon's log above")
        return int(os.read(self._fifo, 100).split()[-1])

    def stamps(self, kind: str, count: int, timeout_s: float) -> list[int]:
        """So many stamps of a kind, CLOCK_MONOTONIC in nanoseconds. Others are thrown away."""
        found: list[int] = []
        while len(found) < count:
            if not select.select([self._fifo], [], [], timeout_s)[0]:
                raise SystemExit(f"{len(found)} of {count} workloads gave their stamp {kind}")
            lines = os.read(self._fifo, 65536).decode().splitlines()  # whole ones: they are short
            found += [int(line[2:]) for line in lines if line.startswith(f"{kind} ")]
        return found


def median(values: list[float]) -> float:
    """The middle one, or the mean of the two."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def busy_share(since: tuple[int, int] | None = None) -> tuple[float, tuple[int, int]]:
    """The share of the machine's CPU time in use since the last call, and the mark for the next one."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    mark = (sum(fields) - fields[3] - fields[4], sum(fields))
    if since is None or mark[1] == since[1]:
        return 0.0, mark
    return (mark[0] - since[0]) / (mark[1] - since[1]), mark
