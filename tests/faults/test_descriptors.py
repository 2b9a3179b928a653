"""A process of ours has no descriptor left: it says so, spins nowhere, leaves the others alone, and recovers."""

import os
import socket
import time

import pytest

from supervisor.nsinit.messages import HEADROOM
from tests.e2e.daemons import Daemon, running
from tests.limits import limited, lowest_free
from tests.nsinit.test_clients import cpu_s
from tests.program import Program

FLEET = """
[worker.steady]
command = ["sleep", "1000"]

[worker.crashy]
command = ["sh", "-c", "sleep 0.1; exit 3"]
restart = { delay = "0.1s", factor = 1.0 }
"""


def taken(pid: int) -> set[int]:
    """The numbers of its descriptors."""
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def connected(path: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.connect(path)
    return one


def goes_on(daemon: Daemon, steady: dict[str, object]) -> None:
    """Launches succeed again, and the other worker was never touched."""
    known = len(daemon.records("setup.completed", instance="crashy"))
    daemon.wait_record("setup.completed", instance="crashy", after=known)
    now = daemon.instance("steady")
    assert (now["pid"], now["restarts"]) == (steady["pid"], 0)


def test_of_the_daemon(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        steady = daemon.wait_state("steady", "ready")
        daemon.wait_record("worker.backoff", instance="crashy")
        failures = len(daemon.records("setup.failed", instance="crashy"))
        with limited(nsvisor.user, daemon.pid, "nofile", lowest_free(taken(daemon.pid))):
            waiting = [connected(str(nsvisor.socket)) for _ in range(40)]  # a launch that fails gives some back
            starved = daemon.wait_record("control.starved", listener=str(nsvisor.socket))
            assert (starved["errno"], starved["level"]) == ("EMFILE", "error")
            assert "LimitNOFILE" in starved["hint"]
            daemon.wait_record("setup.failed", instance="crashy", after=failures + 1)  # tried again by its policy
            (*_, failed) = daemon.records("setup.phase", instance="crashy", outcome="failed")
            assert failed["errno"] == "EMFILE"
            assert "descriptors" in failed["hint"]
            used_s = cpu_s(daemon.pid)
            time.sleep(1)
            assert cpu_s(daemon.pid) - used_s < 0.7
        for one in waiting:
            one.close()
        daemon.wait_record("control.recovered", listener=str(nsvisor.socket))
        goes_on(daemon, steady)
        assert len(daemon.records("control.starved")) < 20  # one for each time, not for each try


def test_of_the_keeper(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        steady = daemon.wait_state("steady", "ready")
        keeper = daemon.keeper_pid()
        with limited(nsvisor.user, keeper, "nofile", HEADROOM):
            failed = daemon.wait_record("setup.phase", instance="crashy", outcome="failed", errno="EMFILE")
            assert "descriptors" in failed["hint"]
            failures = len(daemon.records("setup.failed", instance="crashy"))
            daemon.wait_record("setup.failed", instance="crashy", after=failures)
        goes_on(daemon, steady)
        assert daemon.records("keeper.died") == []


def test_the_keeper_cannot_clone(nsvisor: Program) -> None:
    if nsvisor.user.uid == 0:
        pytest.skip("root's number of processes is not limited")
    with running(nsvisor, FLEET) as daemon:
        steady = daemon.wait_state("steady", "ready")
        with limited(nsvisor.user, daemon.keeper_pid(), "nproc", 1):
            failed = daemon.wait_record("setup.phase", instance="crashy", outcome="failed", errno="EAGAIN")
            assert failed["phase"] == "clone"
            assert failed["hint"]
            failures = len(daemon.records("setup.failed", instance="crashy"))
            daemon.wait_record("setup.failed", instance="crashy", after=failures)
        goes_on(daemon, steady)
        assert daemon.records("keeper.died") == []
