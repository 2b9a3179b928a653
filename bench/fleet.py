"""What a fleet at rest costs: CPU time and memory of the daemon and its keeper."""

import time
from pathlib import Path
from typing import Any

from daemon import running
from workload import Workload

FLEET = """
[supervisor]
start_concurrency = 8

[worker.idle]
command    = ["/stamp"]
instances  = {count}
init       = false
rootfs     = {{ kind = "dir", path = "{root}" }}
log        = {{ sink = "null" }}
"""


def cpu_s(pid: int) -> float:
    """CPU time of all threads, ended ones too: the process's clock, as clock_getcpuclockid(3) makes it up."""
    return time.clock_gettime((~pid << 3) | 2)


def pss_bytes(pid: int) -> int:
    """The proportional set size."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024


def at_rest(top: Path, workload: Workload, count: int, seconds: float) -> dict[str, Any]:
    """Start `count` workers, leave them alone, and look."""
    with running(top, FLEET.format(count=count, root=workload.root)) as daemon:
        start = time.monotonic()
        waited = daemon.ask("POST", "/v1/wait", {"names": [], "condition": "ready", "timeout_s": 120})
        started_s = time.monotonic() - start
        states = [one["state"] for one in daemon.ask("GET", "/v1/instances")]
        if states.count("ready") != count:
            raise SystemExit(f"{states.count('ready')} of {count} workers are ready: {waited}")
        time.sleep(5)
        pids = daemon.pids()
        before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
        time.sleep(seconds)
        spent = time.monotonic() - began
        cpu = {name: (cpu_s(pid) - before[name]) / spent * 100 for name, pid in pids.items()}
        pss = {name: pss_bytes(pid) for name, pid in pids.items()}
    return {
        "workers": count,
        "all_ready_after_s": started_s,
        "seconds": spent,
        "cpu_percent": cpu,
        "pss_bytes": pss,
        "pss_limit_bytes": 50_000_000 + 30_000 * count,
    }
