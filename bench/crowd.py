"""A launch beside thousands of idle processes: pivot_root(2) looks at every process of the host."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import launchers
from context import Context
from figures import OURS, Report, median
from launch import PROBE, rounds, sandbox, usable
from processes import children
from workload import INSIDE_FIFO, Workload

EACH = 8  # launches of a peer in a round


@contextmanager
def crowd(workload: Workload, count: int) -> Iterator[None]:
    """So many idle processes."""
    if not count:
        yield
        return
    words = [workload.floor, "--plain", "--keep", str(count), "/", workload.stamp, workload.fifo, "i@N", "idle"]
    process = subprocess.Popen(words)
    try:
        workload.first_of_all(count, 120.0)
        yield
    finally:
        gone = children(process.pid)
        process.kill()  # the others die with it
        process.wait()
        while any(children_left(pid) for pid in gone):
            time.sleep(0.05)


def children_left(pid: int) -> bool:
    """Whether it is still there, a zombie too."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[1] == "(stamp)"
    except OSError:
        return False


def measure(context: Context) -> list[Report]:
    workload, scale = context.workload, context.scale
    every = [kind(workload, context.fresh(), net=False) for kind in (launchers.Floor, launchers.Bwrap)]
    peers, notes = usable(every, workload)
    config = PROBE.format(command=f'["/stamp", "{INSIDE_FIFO}", "x"]', sandbox=sandbox(workload))
    more = f"{scale.crowd} processes more"
    report = Report("crowd", "the same launch beside idle processes", "ms", {}, base=OURS, notes=notes)
    for _ in range(scale.crowd_rounds):
        for suffix, count in (("", 0), (f", {more}", scale.crowd)):
            with crowd(workload, count):
                part = rounds(context, config, peers, Report("", "", "", {}), 0.015, min(EACH, scale.launch_rounds))
            for peer, values in part.samples.items():
                taken = [value for value in values if value is not None]
                report.samples.setdefault(peer + suffix, []).append(median(taken) if taken else None)
    report.aim(f"launch beside {more}, against none more", f"{OURS}, {more}", OURS, 1.3)
    return [report]
