"""Launches a second, with exit and reap, eight at a time."""

import json
import random
import subprocess
import time

import launchers
from context import Context
from daemon import running
from figures import OURS, Report
from launch import sandbox, usable
from launchers import Launcher

AT_A_TIME = 8

# They end at once and are started again without a pause.
LOOP = """
[supervisor]
start_concurrency = {at_a_time}
[worker.loop]
command    = ["/stamp", "true"]
instances  = {at_a_time}
autostart  = false
log        = {{ sink = "null" }}
{sandbox}
restart    = {{ policy = "always", delay = "0s" }}
"""


def by_the_floor(launcher: Launcher, seconds: float) -> float | None:
    """The C program starts the peer, waits and reaps. None: launches failed."""
    work = launcher.words("/stamp", "true")
    options = [] if isinstance(launcher, launchers.Floor) else ["--plain"]
    if isinstance(launcher, launchers.Floor):
        words = [work[0], "--rate", str(seconds), str(AT_A_TIME), *work[1:]]
    else:
        words = [launcher.workload.floor, *options, "--rate", str(seconds), str(AT_A_TIME), "/", *work]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    found = json.loads(done.stdout)
    return None if found["failed"] else found["launches"] / found["seconds"]


def ours(context: Context, seconds: float) -> float:
    config = LOOP.format(at_a_time=AT_A_TIME, sandbox=sandbox(context.workload))
    with running(context.fresh(), config) as daemon:

        def launched() -> int:
            return sum(one["incarnation"] for one in daemon.ask("GET", "/v1/instances"))

        daemon.ask("POST", "/v1/start", {"names": []})
        time.sleep(0.2)
        before, start = launched(), time.monotonic()
        time.sleep(seconds)
        return (launched() - before) / (time.monotonic() - start)


def measure(context: Context) -> list[Report]:
    workload, scale = context.workload, context.scale
    kinds = [launchers.Floor, launchers.Bwrap, launchers.BwrapDev, launchers.Unshare, launchers.Nsjail, launchers.Crun]
    peers, notes = usable([kind(workload, context.fresh(), net=False) for kind in kinds], workload)
    report = Report("rate", f"launches with exit and reap, {AT_A_TIME} at a time", "per second", {}, notes=notes)
    for _ in range(scale.rate_rounds):
        for peer in random.sample([None, *peers], len(peers) + 1):
            found = ours(context, scale.rate_s) if peer is None else by_the_floor(peer, scale.rate_s)
            report.samples.setdefault(OURS if peer is None else peer.name, []).append(found)
    report.aim(f"launches a second, {AT_A_TIME} at a time, against bwrap", OURS, "bwrap", 1.3, at_least=True)
    return [report]
