"""What a fleet at rest does: CPU time, and how often the daemon and its keeper wake up."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

from context import Context
from daemon import running
from figures import Report, Target
from launch import sandbox
from memory import FLEET, start
from processes import cpu_s, switches

SETTLE_S = 5.0


def traced(pids: dict[str, int], seconds: float, file: Path) -> str:
    """Which system calls they made, by strace(1)."""
    words = ["strace", "-f", "-qq", "-o", str(file), *(f"-p{pid}" for pid in pids.values())]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    process.wait()
    count: dict[str, int] = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        name = line.partition(" ")[2].strip().partition("(")[0]
        if name.isidentifier() and not line.endswith("<unfinished ...>"):  # what was under way when it began or ended
            count[name] = count.get(name, 0) + 1
    return ", ".join(f"{name} {times}" for name, times in sorted(count.items())) or "none"


def measure(context: Context) -> list[Report]:
    scale = context.scale
    config = FLEET.format(count=scale.idle, init="false", sandbox=sandbox(context.workload))
    report = Report("idle", f"{scale.idle} workers at rest for {scale.idle_s:g} s", "ms", {}, base="")
    with running(context.fresh(), config) as daemon:
        start(daemon, scale.idle)
        time.sleep(min(SETTLE_S, scale.idle_s))
        pids = daemon.pids()
        cpu = {name: cpu_s(pid) for name, pid in pids.items()}
        asleep, woken = {name: switches(pid) for name, pid in pids.items()}, {}
        time.sleep(scale.idle_s)
        for name, pid in pids.items():
            report.samples[f"CPU time, {name}"] = [(cpu_s(pid) - cpu[name]) * 1e3]
            before = asleep[name]
            woken[name] = sum(count - before.get(thread, 0) for thread, count in switches(pid).items())
        if shutil.which("strace"):
            calls = traced(pids, min(scale.idle_s, 10.0), context.fresh() / "strace")
            report.notes.append(f"system calls in {min(scale.idle_s, 10.0):g} s: {calls}")
    report.notes.append(f"wake-ups: {', '.join(f'{name} {count}' for name, count in woken.items())}")
    report.targets.append(Target("wake-ups at rest", sum(woken.values()), 0, "times"))
    return [report]
