"""The programs of the benchmark, compiled, in a root directory of their own; and the FIFO that workers stamp."""

import fcntl
import os
import select
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLAGS = ["-O2", "-Wall", "-static", "-s"]
NO_LIBRARY = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-tree-loop-distribute-patterns"]
INSIDE_FIFO = "/bench/fifo"  # where the root directory is the root
F_SETPIPE_SZ = 1031

Stamp = tuple[str, str, int]  # "S" or "X", the tag, CLOCK_MONOTONIC in nanoseconds


class Workload:
    """A root directory with /stamp, /spew and /bench/fifo in it, and the floor beside it."""

    def __init__(self, top: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise SystemExit("cannot measure a first instruction without a C compiler: apt-get install gcc libc6-dev")
        self.root = top / "root"
        for name in ("dev", "proc", "sys", "tmp", "etc", "bench", "run"):
            (self.root / name).mkdir(parents=True)
        self.floor = str(top / "floor")
        for flags, output, source in (
            (FLAGS + NO_LIBRARY, self.root / "stamp", "stamp.c"),
            (FLAGS, self.root / "spew", "spew.c"),
            (FLAGS, top / "floor", "floor.c"),
        ):
            subprocess.run([compiler, *flags, "-o", output, HERE / source], check=True)
        self.stamp = str(self.root / "stamp")
        self.shared = self.root / "bench"
        self.fifo = str(self.shared / "fifo")
        os.mkfifo(self.fifo)
        os.chmod(self.fifo, 0o666)  # noqa: S103 whatever ids the workers have
        shutil.copy(self.stamp, self.shared / "stamp")  # for sandboxes with a view of the host
        self._fifo = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(PermissionError):  # a user's pipes together are limited
            fcntl.fcntl(self._fifo, F_SETPIPE_SZ, 1 << 20)
        self._rest = b""

    def drain(self, timeout_s: float = 0.0) -> list[Stamp]:
        """What is there; the first of it is waited for."""
        select.select([self._fifo], [], [], timeout_s)
        while True:
            try:
                self._rest += os.read(self._fifo, 1 << 16)
            except BlockingIOError:
                break
        *lines, self._rest = self._rest.split(b"\n")
        found = []
        for line in lines:
            kind, *tag, at = line.decode().split()
            found.append((kind, " ".join(tag), int(at)))
        return found

    def wait(self, tag: str, timeout_s: float = 10.0) -> int | None:
        """When the workload with this tag began. None: it did not."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            for kind, found, at in self.drain(left):
                if (kind, found) == ("S", tag):
                    return at
        return None

    def first_of_all(self, count: int, timeout_s: float) -> list[int]:
        """The first stamp of each tag, once there are so many tags."""
        seen: dict[str, int] = {}
        deadline = time.monotonic() + timeout_s
        while len(seen) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SystemExit(f"{len(seen)} of {count} workloads have begun after {timeout_s:g} s")
            for kind, tag, at in self.drain(min(left, 1.0)):
                if kind == "S":
                    seen.setdefault(tag, at)
        return list(seen.values())

    def stamps(self, kind: str, count: int, timeout_s: float) -> list[int]:
        """So many stamps of a kind, whatever their tags. Others are thrown away."""
        found: list[int] = []
        while len(found) < count:
            now = self.drain(timeout_s)
            if not now:
                raise SystemExit(f"{len(found)} of {count} workloads gave their stamp {kind}")
            found += [at for one, _, at in now if one == kind]
        return found


def busy_share(since: tuple[int, int] | None = None) -> tuple[float, tuple[int, int]]:
    """The share of the machine's CPU time in use since the last call, and the mark for the next one."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    mark = (sum(fields) - fields[3] - fields[4], sum(fields))
    if since is None or mark[1] == since[1]:
        return 0.0, mark
    return (mark[0] - since[0]) / (mark[1] - since[1]), mark
