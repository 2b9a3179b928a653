"""A thousand workers started at once, killed at once and stopped at once; and who waits for a crash loop."""

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.e2e.daemons import Daemon, Record, running, wait_until
from tests.program import Program

PATIENCE_S = 120.0
SLOTS = 8
ENOUGH = 50  # answers to judge by
STORM = """
[supervisor]
start_concurrency = {slots}
log_level = "warning"

[defaults]
command   = ["sleep", "45003"]
rootfs    = {{ kind = "dir", path = "/" }}
network   = {{ mode = "host" }}
init      = false
autostart = false
log       = {{ sink = "null" }}
restart   = {{ policy = "always", delay = "200ms" }}
stop      = {{ signal = "SIGKILL" }}

"""


def timed(daemon: Daemon) -> float:
    """How long an answer takes, in seconds."""
    before = time.monotonic()
    daemon.ask("GET", "/v1/version")
    return time.monotonic() - before


class Caller:
    """Asks the daemon who it is, over and over, and notes how long it takes."""

    def __init__(self, daemon: Daemon) -> None:
        self.took_s: list[float] = []
        self._daemon = daemon
        self._ended = threading.Event()

    def _ask(self) -> None:
        while not self._ended.wait(0.05):
            self.took_s.append(timed(self._daemon))

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


def fds(daemon: Daemon) -> tuple[int, int]:
    """Open in the daemon and in its keeper, whose spare process comes and goes."""
    children = psutil.Process(daemon.pid).children()
    (keeper,) = (one for one in children if any("nsinit" in word for word in one.cmdline()))
    return psutil.Process(daemon.pid).num_fds(), keeper.num_fds()


def wait_for(daemon: Daemon, condition: str, *names: str) -> None:
    answer = daemon.ask("POST", "/v1/wait", {"names": names, "condition": condition, "timeout_s": 8})[1]
    deadline = time.monotonic() + PATIENCE_S
    while not answer["met"]:
        assert time.monotonic() < deadline, f"not {condition}"
        answer = daemon.ask("POST", "/v1/wait", {"names": names, "condition": condition, "timeout_s": 8})[1]


def launches(daemon: Daemon, names: list[str]) -> list[tuple[float, float, str]]:
    """The first launch of each instance, as it was asked for: begin, end, instance."""
    found = []
    for name in names:
        status, details = daemon.ask("GET", f"/v1/instances/{name}")
        assert status == 200
        for detail in details:
            one = detail["launches"][0]
            found.append((one["requested_at"], one["requested_at"] + one["duration_us"] / 1e6, one["instance"]))
    return sorted(found)


def most_at_once(spans: list[tuple[float, float, str]]) -> int:
    marks = sorted([(begin, 1) for begin, _, _ in spans] + [(end, -1) for _, end, _ in spans])
    now = most = 0
    for _, change in marks:
        now += change
        most = max(most, now)
    return most


def all_again(daemon: Daemon) -> dict[str, Record]:
    """Wait until each has been restarted and is ready. Seldom asked: to tell of a thousand is work."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        wait_for(daemon, "ready")
        found = daemon.instances()
        if all(one["restarts"] == 1 and one["ready"] for one in found.values()):
            return found
        time.sleep(0.3)
    raise AssertionError("not all were restarted")


def weather(daemon: Daemon, workers: list[str], instances: int) -> None:
    """Start, kill and stop them all."""
    count = len(workers) * instances
    names = [f"{worker}-{index}" for worker in workers for index in range(instances)]
    before = fds(daemon)
    usual_s = statistics.median(timed(daemon) for _ in range(21))  # on this machine, as it is now
    caller = Caller(daemon)
    with caller.asking():
        daemon.post("/v1/start", names=[])
        wait_for(daemon, "ready")
        up = daemon.instances()
        for one in up.values():
            os.kill(one["pid"], signal.SIGKILL)
        again = all_again(daemon)
        daemon.post("/v1/stop", names=[])
        wait_for(daemon, "exited")
    assert [one["name"] for one in up.values() if one["ready"]] == names
    assert [one["name"] for one in again.values() if one["ready"]] == names
    assert len({one["pid"] for one in (*up.values(), *again.values())}) == 2 * count
    if len(caller.took_s) >= ENOUGH:
        assert statistics.median(caller.took_s) < max(0.1, 10 * usual_s)
        assert statistics.quantiles(caller.took_s, n=10)[-1] < max(1.0, 100 * usual_s)
    exits = daemon.records("worker.exited", signal="SIGKILL")
    assert sorted(one["incarnation"] for one in exits) == [1] * count  # those asked for are no warning
    assert sorted(one["instance"] for one in exits) == sorted(names)
    own, keepers = before  # the daemon opens the file of its records with the first one; the keeper makes a spare
    wait_until(lambda: fds(daemon)[0] <= own + 1 and fds(daemon)[1] <= keepers + 3, f"descriptors {before} again")


def test_a_thousand_workers(nsvisor: Program) -> None:
    with running(nsvisor, STORM.format(slots=SLOTS) + "[worker.w]\ninstances = 1000\n") as daemon:
        weather(daemon, ["w"], 1000)


def test_many_workers_as_root(root_nsvisor: Program) -> None:
    workers = [f"w{number}" for number in range(10)]
    config = STORM.format(slots=SLOTS) + "".join(f"[worker.{name}]\ninstances = 10\n" for name in workers)
    with running(root_nsvisor, config) as daemon:
        weather(daemon, workers, 10)


def test_launches_are_bounded_and_in_order(nsvisor: Program) -> None:
    config = STORM.format(slots=3) + "[worker.b]\ninstances = 60\n[worker.a]\ninstances = 60\n"
    with running(nsvisor, config) as daemon:
        daemon.post("/v1/start", names=[])
        wait_for(daemon, "ready")
        spans = launches(daemon, ["b", "a"])
        assert most_at_once(spans) <= 3
        assert most_at_once(spans) > 1
        names = [f"{worker}-{index}" for worker in "ba" for index in range(60)]
        late = max(abs(place - names.index(name)) for place, (_, _, name) in enumerate(spans))
        assert late <= 3 * 3, [name for _, _, name in spans]


def test_a_crash_storm_starves_nobody(nsvisor: Program) -> None:
    """Who asks first is launched first: before a fresh one only those that waited already, each of them once."""
    config = STORM.format(slots=2).replace('log_level = "warning"', 'log_level = "info"')
    config += '[worker.loop]\ncommand = ["false"]\ninstances = 50\n[worker.loop.restart]\ndelay = "10ms"\n'
    config += 'max_delay = "10ms"\n[worker.fresh]\n'
    with running(nsvisor, config) as daemon:
        daemon.post("/v1/start", names=["loop"])
        wait_until(lambda: daemon.instance("loop-49")["restarts"] >= 2, "the loop to go round", PATIENCE_S)
        daemon.post("/v1/start", names=["fresh"])
        wait_for(daemon, "ready", "fresh")
        daemon.post("/v1/stop", names=[])
        told = [(one["event"], one.get("instance", "")) for one in daemon.records()]
    asked, began = told.index(("worker.launching", "fresh")), told.index(("setup.phase", "fresh"))
    between = [name for event, name in told[asked:began] if event == "setup.completed"]
    assert len(between) <= 50 + 2
    assert max(map(between.count, set(between)), default=0) <= 2
