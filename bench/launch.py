"""From the request to the workload's first instruction."""

import os
import platform
import random
import subprocess
import time
from collections.abc import Callable
from typing import Any

import launchers
from context import Context
from daemon import Daemon, running
from figures import FLOOR, OURS, Report, Samples
from launchers import BwrapDefault, Launcher
from workload import INSIDE_FIFO, Workload

from supervisor.sandbox.seccomp.default import default_profile
from supervisor.sandbox.seccomp.filter import compile_filter

CONNECTING, INSIDE = "nsvisor, a connection for the request", "nsvisor, from the launcher's request on"

# What the floor and bwrap build, and /dev, which every root of ours gets.
SAME = """
rootfs     = {{ kind = "dir", path = "{root}" }}
namespaces = {{ user = true, pid = true, mount = true, uts = true, ipc = true, cgroup = false }}
masked_paths = []
readonly_paths = []
security   = {{ seccomp = "off", nested_userns = true }}
network    = {{ mode = "{network}" }}
"""
DEFAULT = """
mounts     = [{{ type = "bind", source = "{shared}", target = "/tmp/bench" }}]
"""
PROBE = """
[worker.probe]
command    = {command}
autostart  = false
log        = {{ sink = "null" }}
{sandbox}
restart    = {{ policy = "never" }}
"""


def sandbox(workload: Workload, *, net: bool = False) -> str:
    """The keys of a worker in the same sandbox as the floor's."""
    return SAME.format(root=workload.root, network="none" if net else "host")


class Ours:
    """The running daemon, asked over its control socket."""

    def __init__(self, daemon: Daemon, workload: Workload) -> None:
        self._daemon, self._workload = daemon, workload
        self._open = daemon.connected()

    def __call__(self, *, connect: bool) -> tuple[float, float]:
        """Milliseconds: from the request; from the launch within the daemon that it led to."""
        body = {"names": ["probe"]}
        start = time.monotonic_ns()
        connection = self._daemon.connected() if connect else self._open
        connection.send("POST", "/v1/start", body)
        stamp = self._workload.wait("x")
        if stamp is None:
            raise SystemExit("nsvisor's workload did not begin: see the daemon's log above")
        connection.answer()
        if connect:
            connection.close()
        self._daemon.ask("POST", "/v1/wait", {"names": ["probe"], "condition": "exited", "timeout_s": 10})
        launch: dict[str, Any] = self._daemon.ask("GET", "/v1/instances/probe/launches")[-1]
        launched = launch["requested_at"] - time.time() + time.monotonic()  # recorded by wall clock
        return (stamp - start) / 1e6, stamp / 1e6 - launched * 1e3


def by_spawning(launcher: Launcher, workload: Workload) -> float | None:
    """Milliseconds. None: it failed."""
    words = launcher.stamping("x")
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    start = time.monotonic_ns()
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=nowhere)
    failed = os.waitpid(pid, 0)[1] != 0
    stamp = workload.wait("x", 0.5 if failed else 5.0)
    return None if failed or stamp is None else (stamp - start) / 1e6


def usable(peers: list[Launcher], workload: Workload) -> tuple[list[Launcher], list[str]]:
    """Those that are there and work here, and why others do not."""
    found, notes = [], []
    for peer in peers:
        why = peer.missing()
        if why is None:
            done = subprocess.run(
                peer.stamping("x"), stdin=subprocess.DEVNULL, capture_output=True, close_fds=False, check=False
            )
            if done.returncode or workload.wait("x", 5.0) is None:
                why = f"{peer.name} does not work here: {done.stderr.decode().strip()[:120]}"
        if why is None:
            found.append(peer)
        else:
            notes.append(f"left out: {why}")
    return found, notes


def rounds(context: Context, config: str, peers: list[Launcher], report: Report, pause_s: float, count: int) -> Report:
    """Every peer and ours in each round, in random order."""
    with running(context.fresh(), config) as daemon:
        ours = Ours(daemon, context.workload)
        for _ in range(3):
            ours(connect=True), ours(connect=False)  # warm, as the peers are
        for number in range(count):
            taken: Samples = {}

            def one(peer: Launcher, taken: Samples = taken) -> None:
                taken[peer.name] = [by_spawning(peer, context.workload)]

            def asked(taken: Samples = taken) -> None:
                whole, inner = ours(connect=False)
                taken[OURS], taken[INSIDE] = [whole], [inner]

            def connecting(taken: Samples = taken) -> None:
                taken[CONNECTING] = [ours(connect=True)[0]]

            turns: list[Callable[[], None]] = [asked, connecting]
            turns += [
                lambda peer=peer: one(peer)  # type: ignore[misc]
                for peer in peers
                if not peer.slow or number % context.scale.slow_every == 0
            ]
            random.shuffle(turns)
            for turn in turns:
                turn()
                time.sleep(pause_s)
            for name in [OURS, CONNECTING, INSIDE, *(peer.name for peer in peers)]:
                report.samples.setdefault(name, []).extend(taken.get(name, [None]))
    return report


def same(context: Context, *, net: bool) -> Report:
    """The floor's sandbox."""
    workload = context.workload
    every = [kind(workload, context.fresh(), net=net) for kind in launchers.LAUNCHERS]
    peers, notes = usable(every, workload)
    spaces = "user, pid, mount, uts, ipc" + (", network" if net else "")
    report = Report(
        "launch_net" if net else "launch", f"request to first instruction: {spaces}; proc, pivot", "ms", {}, notes=notes
    )
    command = f'["/stamp", "{INSIDE_FIFO}", "x"]'
    config = PROBE.format(command=command, sandbox=sandbox(workload, net=net))
    # a network namespace is destroyed long after its last process
    rounds(context, config, peers, report, 0.06 if net else 0.015, context.scale.launch_rounds)
    if net:
        report.aim("launch with a network namespace, against bwrap", OURS, "bwrap", 0.8)
    else:
        report.aim("launch, against the floor", OURS, FLOOR, 1.5)
        report.aim("launch, against bwrap", OURS, "bwrap", 0.7)
    return report


def default(context: Context) -> Report:
    """A worker that names only a command, and bubblewrap told to do the same."""
    workload = context.workload
    file = context.fresh() / "filter"
    program = compile_filter(default_profile(), platform.machine(), platform.release(), frozenset()).program
    file.write_bytes(program)
    floor: list[Launcher] = [launchers.Floor(workload, context.fresh(), net=True)]
    peers, notes = usable([*floor, BwrapDefault(workload, context.fresh(), seccomp=file)], workload)
    title = "the same, default sandbox: view of the host, /dev, /tmp, loopback only, seccomp (the floor: with network)"
    report = Report("launch_default", title, "ms", {}, notes=notes)
    command = '["/tmp/bench/stamp", "/tmp/bench/fifo", "x"]'
    config = PROBE.format(command=command, sandbox=DEFAULT.format(shared=workload.shared))
    rounds(context, config, peers, report, 0.06, context.scale.launch_rounds)
    report.aim("launch of a default sandbox, against bwrap", OURS, BwrapDefault.name, 0.7)
    return report


def measure(context: Context) -> list[Report]:
    return [same(context, net=False)]


def measure_default(context: Context) -> list[Report]:
    return [default(context)]


def measure_net(context: Context) -> list[Report]:
    return [same(context, net=True)]
