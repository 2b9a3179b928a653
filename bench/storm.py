"""Storms: so many workers started at once, killed at once, stopped at once; and what the control API does meanwhile."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from daemon import Daemon, running
from processes import cpu_s, pss_bytes
from workload import Workload, busy_share

FLEET = """
[supervisor]
start_concurrency = {concurrency}
"""
WORKER = """
[worker.{name}]
command    = {command}
instances  = {count}
autostart  = false
{sandbox}
[worker.{name}.restart]
policy = "always"
"""
STATIC = 'init = false\nrootfs = {{ kind = "dir", path = "{root}" }}\n'
CALLS = {"version": "/v1/version", "instances": "/v1/instances"}
PAUSE_S = {"version": 0.01, "instances": 0.1}  # between two calls of a client


class Clients:
    """One thread for each kind of call, on connections of their own."""

    def __init__(self, daemon: Daemon) -> None:
        self.took_ms: dict[str, list[float]] = {name: [] for name in CALLS}
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(daemon, name)) for name in CALLS]

    def _call(self, daemon: Daemon, name: str) -> None:
        while not self._ended.is_set():
            before = time.monotonic()
            daemon.ask("GET", CALLS[name], decode=False)
            self.took_ms[name].append((time.monotonic() - before) * 1000)
            self._ended.wait(PAUSE_S[name])

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def percentiles(values: list[float]) -> dict[str, float]:
    """Median, 99th and the greatest."""
    ordered = sorted(values)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)], "max": ordered[-1]}


@contextmanager
def measured(daemon: Daemon, found: dict[str, Any], storm: str) -> Iterator[None]:
    """Note what a storm took, and what the calls took meanwhile."""
    pids = daemon.pids()
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    start = time.monotonic()
    with Clients(daemon) as clients:
        yield
        seconds = time.monotonic() - start
    found[storm] = {
        "seconds": seconds,
        "cpu_s": {name: cpu_s(pid) - before[name] for name, pid in pids.items()},
        "calls_ms": {name: percentiles(took) for name, took in clients.took_ms.items()},
    }


def held(daemon: Daemon) -> dict[str, dict[str, int]]:
    """Descriptors and memory of the daemon and its keeper."""
    pids = daemon.pids()
    return {
        name: {"fds": len(os.listdir(f"/proc/{pid}/fd")), "pss_bytes": pss_bytes(pid) or 0}
        for name, pid in pids.items()
    }


def wait(daemon: Daemon, condition: str, timeout_s: float = 300.0) -> None:
    """Until every worker is there. SystemExit where one is not."""
    answer = daemon.ask("POST", "/v1/wait", {"names": [], "condition": condition, "timeout_s": timeout_s})
    if not answer["met"]:
        raise SystemExit(f"not all are {condition} within {timeout_s} s")


def kill_all(daemon: Daemon, incarnation: int) -> None:
    """SIGKILL every first process, and wait until each worker has a later incarnation that is ready."""
    ones = daemon.ask("GET", "/v1/instances")
    for one in ones:
        with suppress(ProcessLookupError):
            os.kill(one["pid"], signal.SIGKILL)
    while True:
        wait(daemon, "ready")
        if all(one["incarnation"] > incarnation and one["ready"] for one in daemon.ask("GET", "/v1/instances")):
            return
        time.sleep(0.05)


def storm(top: Path, workload: Workload, count: int, workers: int, concurrency: int, *, plain: bool) -> dict[str, Any]:
    """Start, crash twice, stop. plain: the static workload as PID 1, in place of a default sandbox."""
    command = '["/stamp"]' if plain else '["sleep", "100000"]'
    sandbox = STATIC.format(root=workload.root) if plain else ""
    config = FLEET.format(concurrency=concurrency)
    for number in range(workers):
        config += WORKER.format(name=f"w{number}", command=command, count=count // workers, sandbox=sandbox)
    found: dict[str, Any] = {"instances": count, "workers": workers, "start_concurrency": concurrency, "plain": plain}
    with running(top, config) as daemon:
        daemon.ask("GET", "/v1/instances")
        found["before"] = held(daemon)
        with measured(daemon, found, "start"):
            daemon.ask("POST", "/v1/start", {"names": []})
            wait(daemon, "ready")
        found["up"] = held(daemon)
        with measured(daemon, found, "crash"):
            kill_all(daemon, 1)
        with measured(daemon, found, "crash again"):
            kill_all(daemon, 2)
        with measured(daemon, found, "stop"):
            daemon.ask("POST", "/v1/stop", {"names": []})
            wait(daemon, "exited")
        time.sleep(1.0)
        found["after"] = held(daemon)
    return found


def show(found: dict[str, Any]) -> None:
    """One row for each storm, then what is held."""
    kind = "static, init = false" if found["plain"] else "default sandbox"
    print(f"\n{found['instances']} instances of {found['workers']} workers, {kind}")
    print(f"  {'':<12}{'s':>8}{'daemon, keeper CPU s':>22}   {'version p50/p99/max ms':>26}{'instances ms':>26}")
    for name in ("start", "crash", "crash again", "stop"):
        one = found[name]
        cpu = f"{one['cpu_s']['daemon']:.2f}, {one['cpu_s']['keeper']:.2f}"
        calls = [
            f"{call['p50']:.1f} / {call['p99']:.0f} / {call['max']:.0f}"
            for call in (one["calls_ms"]["version"], one["calls_ms"]["instances"])
        ]
        print(f"  {name:<12}{one['seconds']:8.2f}{cpu:>22}   {calls[0]:>26}{calls[1]:>26}")
    for what in ("daemon", "keeper"):
        line = ", ".join(
            f"{when} {found[when][what]['fds']} fds {found[when][what]['pss_bytes'] / 1e6:.1f} MB"
            for when in ("before", "up", "after")
        )
        print(f"  {what:<12}{line}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 3000])
    parser.add_argument("--workers", type=int, default=1, help="so many, which share the instances")
    parser.add_argument("--concurrency", type=int, default=8, help="start_concurrency")
    parser.add_argument("--default-sandbox", action="store_true", help="sleep in it, in place of the static workload")
    options = parser.parse_args()
    mark = busy_share()[1]
    for count in options.sizes:
        top = Path(tempfile.mkdtemp(prefix="nsvisor-bench-"))
        try:
            plain = not options.default_sandbox
            show(storm(top, Workload(top), count, options.workers, options.concurrency, plain=plain))
            sys.stdout.flush()
        finally:
            shutil.rmtree(top)
    print(f"\nmachine {busy_share(mark)[0]:.0%} busy meanwhile")


if __name__ == "__main__":
    main()
