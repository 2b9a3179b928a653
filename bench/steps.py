"""Where a launch's time goes: our phases, and the C floor's steps beside them."""

import json
import subprocess
import time
from typing import Any

from context import Context
from daemon import running
from figures import Report
from launch import PROBE, Ours, sandbox
from workload import INSIDE_FIFO

# What of the floor's is the same work.
SAME_STEP = {
    "clone": "clone3",
    "id.map": "id maps",
    "mount.propagation": "mount / slave",
    "rootfs.prepare": "bind root",
    "rootfs.seal": "read-only",
    "mount.proc": "mount proc",
    "root.pivot": "pivot_root",
}
BEFORE, BETWEEN, EXECUTING, WAY = "daemon, to the keeper", "between phases", "execve", "request to the daemon's launch"


def one_launch(launch: dict[str, Any], whole_ms: float, inner_ms: float) -> dict[str, float]:
    """Microseconds of each part, in the order of time."""
    phases = launch["phases"]
    clone = next(phase for phase in phases if phase["phase"] == "clone")
    parts = {WAY: (whole_ms - inner_ms) * 1e3, BEFORE: clone["start_us"]}
    for phase in phases:
        parts[phase["phase"]] = parts.get(phase["phase"], 0.0) + phase["duration_us"]
    named = sum(phase["duration_us"] for phase in phases if phase["start_us"] >= clone["start_us"])
    parts[BETWEEN] = phases[-1]["start_us"] - clone["start_us"] - named
    parts[EXECUTING] = inner_ms * 1e3 - phases[-1]["start_us"]
    return parts


def measure(context: Context) -> list[Report]:
    workload = context.workload
    count = context.scale.launch_rounds
    config = PROBE.format(command=f'["/stamp", "{INSIDE_FIFO}", "x"]', sandbox=sandbox(workload))
    ours = Report("steps", "where a launch's time goes, medians of each part", "µs", {}, base="")
    floor = Report("floor_steps", "the same of the C floor", "µs", {}, base="")
    with running(context.fresh(), config) as daemon:
        ask = Ours(daemon, workload)
        for _ in range(count):
            time.sleep(0.02)
            whole, inner = ask(connect=False)
            launch = daemon.ask("GET", "/v1/instances/probe/launches")[-1]
            for part, microseconds in one_launch(launch, whole, inner).items():
                same = f" (floor: {SAME_STEP[part]})" if part in SAME_STEP else ""
                ours.samples.setdefault(part + same, []).append(microseconds)
    words = [workload.floor, "--steps", str(count), str(workload.root), "/stamp", "true"]
    done = subprocess.run(words, capture_output=True, check=True)
    floor.samples = {step: [microseconds] for step, microseconds in json.loads(done.stdout).items()}
    return [ours, floor]
