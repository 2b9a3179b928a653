"""Log capture: numbered lines of 100 bytes, from a worker's pipe into files. nsvisor's daemon, supervisord, s6-log."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from context import Context
from daemon import running
from figures import OURS, Report
from processes import cpu_s
from workload import Workload

from supervisor.runtime.log_line import LogLine, encode_lines, head

FILE_BYTES = 16_000_000
LINE_BYTES = 100
PER_WRITE = 40
PATIENCE_S = 60.0

FLEET = """
[worker.spew]
command    = ["/spew", "/bench/fifo", "/bench/gate", "{lines}", "{per_write}"]
instances  = {count}
rootfs     = {{ kind = "dir", path = "{root}" }}
namespaces = {{ cgroup = false }}
network    = {{ mode = "host" }}
restart    = {{ policy = "never" }}
log        = {{ max_size = {file_bytes}, keep = 1000 }}
"""

SUPERVISORD = """
[supervisord]
nodaemon=true
logfile={top}/supervisord.log
pidfile={top}/pid
[program:spew]
command={command}
startsecs=0
autorestart=false
redirect_stderr=true
stdout_logfile={top}/log
stdout_logfile_maxbytes={file_bytes}
stdout_logfile_backups=1000
"""


class Capturer(NamedTuple):
    """What is measured: whose CPU time, which files, how long a line is in them."""

    pid: int
    files: Callable[[], list[Path]]
    line_bytes: int
    workers: int = 1


class Round(NamedTuple):
    """One run: megabytes (of the worker's) a second, CPU seconds a gigabyte, and what was wrong with the files."""

    mb_s: float
    cpu_s_gb: float
    faults: dict[str, int]


def find_supervisord() -> str | None:
    return os.environ.get("SUPERVISORD") or shutil.which("supervisord")


@contextmanager
def ours(top: Path, workload: Workload, lines: int, workers: int) -> Iterator[Capturer]:
    settings = {"lines": lines // workers, "per_write": PER_WRITE, "count": workers, "file_bytes": FILE_BYTES}
    with running(top, FLEET.format(root=workload.root, **settings)) as daemon:
        daemon.ask("POST", "/v1/wait", {"names": [], "condition": "ready", "timeout_s": 60})
        logs = top / "state/nsvisor/logs"
        blank = len(encode_lines(head(time.time(), "stdout", 1), b"\n")) - 1
        yield Capturer(daemon.process.pid, lambda: sorted(logs.glob("spew*.log*")), LINE_BYTES + blank, workers)


@contextmanager
def supervisord(top: Path, workload: Workload, lines: int) -> Iterator[Capturer]:
    file = top / "supervisord.conf"
    file.write_text(SUPERVISORD.format(top=top, command=" ".join(_words(workload, lines)), file_bytes=FILE_BYTES))
    program = find_supervisord() or "supervisord"
    environ = {
        name: value for name, value in os.environ.items() if name != "PYTHONPATH"
    }  # `supervisor` is its name, too
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen([program, "-c", str(file)], env=environ, stdout=nowhere, stderr=nowhere)
    try:
        yield Capturer(process.pid, lambda: sorted(top.glob("log*")), LINE_BYTES)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def s6_log(top: Path, workload: Workload, lines: int) -> Iterator[Capturer]:
    directory = top / "log"
    command = ["s6-log", "n1000", f"s{FILE_BYTES}", str(directory)]
    worker = subprocess.Popen(_words(workload, lines), stdout=subprocess.PIPE)
    process = subprocess.Popen(command, stdin=worker.stdout)
    assert worker.stdout is not None
    worker.stdout.close()
    try:
        files = lambda: [*directory.glob("@*"), *directory.glob("current")]  # noqa: E731
        yield Capturer(process.pid, files, LINE_BYTES)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        process.wait()


def _words(workload: Workload, lines: int) -> list[str]:
    shared = workload.shared
    return [str(workload.root / "spew"), str(shared / "fifo"), str(shared / "gate"), str(lines), str(PER_WRITE)]


def measure_one(workload: Workload, capturer: Capturer, lines: int) -> Round:
    """Open the gate, wait until every byte is in the files, and read them."""
    time.sleep(0.5)  # what starts comes to rest
    each = lines // capturer.workers
    expected = each * capturer.workers * capturer.line_bytes
    before = cpu_s(capturer.pid)
    gate = _open(workload.shared / "gate")
    try:
        began = min(workload.stamps("S", capturer.workers, PATIENCE_S))
        workload.stamps("X", capturer.workers, PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        # Twice: a rename in the middle of a look may show a file twice.
        while _size(capturer) < expected or _size(capturer) < expected:
            if time.monotonic() > deadline:
                break  # the faults will say what is missing
            time.sleep(0.001)
        spent_s = time.monotonic() - began / 1e9
        spent_cpu_s = cpu_s(capturer.pid) - before
    finally:
        os.close(gate)
    gigabytes = each * capturer.workers * LINE_BYTES / 1e9
    faults = verify(capturer, each)
    return Round(gigabytes * 1e3 / spent_s, spent_cpu_s / gigabytes, faults)


def _open(gate: Path) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # ENXIO: nobody waits for it yet
            time.sleep(0.01)
    raise SystemExit("the workload was not started")


def _size(capturer: Capturer) -> int:
    total = 0
    for path in capturer.files():
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def verify(capturer: Capturer, lines: int) -> dict[str, int]:
    """Read all files back, in order: every line there, once, whole, in order, and with a time where it is ours."""
    by_worker: dict[str, list[Path]] = {}
    for path in capturer.files():
        by_worker.setdefault(path.name.partition(".log")[0] if capturer.workers > 1 else "", []).append(path)
    missing = doubled = mangled = disorder = unstamped = 0
    for paths in by_worker.values():
        seen = bytearray(lines)
        last = -1
        last_stamp = 0.0
        for path in sorted(paths, key=_age, reverse=True):
            for number, stamp in _numbers(path, ours=capturer.line_bytes != LINE_BYTES):
                if number < 0 or number >= lines:
                    mangled += 1
                    continue
                seen[number] = min(seen[number] + 1, 2)
                disorder += number != last + 1
                last = number
                unstamped += stamp < max(1e9, last_stamp)
                last_stamp = stamp
        missing += seen.count(0)
        doubled += seen.count(2)
    missing += lines * (capturer.workers - len(by_worker))
    found = {"missing": missing, "doubled": doubled, "mangled": mangled, "out of order": disorder}
    return found | ({"without time": unstamped} if capturer.line_bytes != LINE_BYTES else {})


def _age(path: Path) -> tuple[int, str]:
    """Greater is older. nsvisor's and supervisord's are numbered; s6-log's names sort, and `current` is the newest."""
    if path.name.startswith("@"):
        return 1, "".join(chr(255 - ord(letter)) for letter in path.name)
    suffix = path.suffix.removeprefix(".")
    return int(suffix) if suffix.isdecimal() else 0, ""


def _numbers(path: Path, *, ours: bool) -> Iterator[tuple[int, float]]:
    """The number and time of each line, -1 for what is no whole line of the workload's."""
    decode = msgspec.json.Decoder(LogLine).decode
    filling = bytes(ord("a") + at % 23 for at in range(11, LINE_BYTES - 1)).decode()
    with path.open("rb") as file:
        for line in file:
            if ours:
                stored = decode(line)
                text, stamp = stored.m, 0.0 if stored.p or stored.e else stored.t
            else:
                text, stamp = line[:-1].decode(errors="replace"), 2e9
            whole = line.endswith(b"\n") and len(text) == LINE_BYTES - 1 and text[:10].isdecimal()
            yield (int(text[:10]) if whole and text[11:] == filling else -1), stamp


def measure(context: Context) -> list[Report]:
    """Interleaved rounds."""
    workload, scale = context.workload, context.scale
    gate, lines, many = workload.shared / "gate", scale.log_lines, scale.log_workers
    os.mkfifo(gate)
    several = f"{OURS}, {many} workers"
    cases: dict[str, Callable[[Path], Any]] = {
        OURS: lambda place: ours(place, workload, lines, 1),
        several: lambda place: ours(place, workload, lines, many),
    }
    if find_supervisord():
        cases["supervisord"] = lambda place: supervisord(place, workload, lines)
    if shutil.which("s6-log"):
        cases["s6-log"] = lambda place: s6_log(place, workload, lines)
    speed = Report("logs", f"{lines} lines of {LINE_BYTES} bytes, {PER_WRITE} with each write", "MB/s", {}, base=OURS)
    cpu = Report("logs_cpu", "CPU time for them", "s/GB", {}, base=OURS)
    for _ in range(scale.log_rounds):
        for name in random.sample(list(cases), len(cases)):
            place = context.fresh()
            with cases[name](place) as capturer:
                found = measure_one(workload, capturer, lines)
            shutil.rmtree(place)
            speed.samples.setdefault(name, []).append(found.mb_s)
            cpu.samples.setdefault(name, []).append(found.cpu_s_gb)
            speed.notes += [f"{name}: {count} {what}" for what, count in found.faults.items() if count]
    speed.aim("log capture, against supervisord", OURS, "supervisord", 1.0, at_least=True)
    return [speed, cpu]
