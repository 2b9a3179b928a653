"""From the request to the workload's first instruction: nsvisor's daemon against bubblewrap, in interleaved pairs."""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

from daemon import Daemon, running
from workload import Workload, median

FLEET = """
[worker.probe]
command    = ["/stamp", "/bench/fifo"]
autostart  = false
rootfs     = {{ kind = "dir", path = "{root}" }}
namespaces = {{ user = true, pid = true, mount = true, uts = true, ipc = true, cgroup = false }}
masked_paths = []
readonly_paths = []
security = {{ seccomp = "off", nested_userns = true }}
network    = {{ mode = "{network}" }}
mounts     = [{{ type = "bind", source = "{shared}", target = "/bench" }}]
restart    = {{ policy = "never" }}
log        = {{ sink = "null" }}
"""


def bwrap(workload: Workload, *, own_network: bool) -> float:
    """Milliseconds for bubblewrap with the same sandbox."""
    words = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-uts", "--unshare-ipc", "--new-session"]
    words += ["--unshare-net"] if own_network else []
    words += ["--ro-bind", str(workload.root), "/", "--dev", "/dev", "--proc", "/proc"]
    words += ["--bind", str(workload.shared), "/bench", "/stamp", "/bench/fifo"]
    program = shutil.which("bwrap") or "bwrap"
    start = time.monotonic_ns()
    pid = os.posix_spawn(program, words, os.environ)
    stamp = workload.next_stamp_ns()
    if os.waitpid(pid, 0)[1] != 0:
        raise SystemExit("bwrap failed")
    return (stamp - start) / 1e6


def ours(workload: Workload, daemon: Daemon) -> tuple[float, float]:
    """Milliseconds to the first instruction: from the request on the control socket, from the launch that it led to."""
    start = time.monotonic_ns()
    daemon.ask("POST", "/v1/start", {"names": ["probe"]})
    stamp = workload.next_stamp_ns()
    daemon.ask("POST", "/v1/wait", {"names": ["probe"], "condition": "exited", "timeout_s": 10})
    launch: dict[str, Any] = daemon.ask("GET", "/v1/instances/probe/launches")[-1]
    launched = launch["requested_at"] - time.time() + time.monotonic()  # recorded by wall clock
    return (stamp - start) / 1e6, stamp / 1e6 - launched * 1e3


def compare(top: Path, workload: Workload, pairs: int, *, own_network: bool) -> dict[str, Any]:
    """Medians in milliseconds, and the median of the ratios taken within each pair."""
    network = "none" if own_network else "host"
    config = FLEET.format(root=workload.root, shared=workload.shared, network=network)
    theirs: list[float] = []
    by_api: list[float] = []
    by_launcher: list[float] = []
    with running(top, config) as daemon:
        for warm in range(pairs + 3):
            steps = ["bwrap", "ours"]
            random.shuffle(steps)
            for step in steps:
                if step == "bwrap":
                    theirs.append(bwrap(workload, own_network=own_network))
                else:
                    whole, inner = ours(workload, daemon)
                    by_api.append(whole)
                    by_launcher.append(inner)
                time.sleep(0.1 if own_network else 0.02)  # a network namespace is destroyed long after its last process
            if warm == 2:  # the first ones warm the caches
                for results in (theirs, by_api, by_launcher):
                    results.clear()
    return {
        "pairs": pairs,
        "bwrap_ms": median(theirs),
        "api_ms": median(by_api),
        "launcher_ms": median(by_launcher),
        "api_ratio": median([mine / other for mine, other in zip(by_api, theirs, strict=True)]),
        "launcher_ratio": median([mine / other for mine, other in zip(by_launcher, theirs, strict=True)]),
        "all_ms": {"bwrap": theirs, "api": by_api, "launcher": by_launcher},
    }
