"""network.mode = "worker:NAME": the joiner follows the owner into each new namespace."""

import os
import signal

import pytest

from tests.e2e.daemons import Daemon, running, wait_until
from tests.program import Program

FLEET = """
[worker.app]
command = ["sleep", "42001"]
network = { mode = "worker:proxy" }
restart = { policy = "never", delay = "0.05s" }

[worker.proxy]
command = ["sleep", "42002"]
restart = { delay = "0.05s" }
stop = { grace = "2s" }
"""


def network(daemon: Daemon, name: str) -> int:
    """The namespace that an instance's PID 1 is in."""
    return os.stat(f"/proc/{daemon.instance(name)['pid']}/ns/net").st_ino


def both_up(daemon: Daemon, incarnation: int) -> int:
    """Wait until both run anew: the namespace that they share."""
    for name in ("proxy", "app"):
        wait_until(lambda name=name: daemon.instance(name)["incarnation"] >= incarnation, f"{name}#{incarnation}")  # type: ignore[misc]
        daemon.wait_state(name, "ready")
    shared = network(daemon, "proxy")
    assert network(daemon, "app") == shared
    return shared


@pytest.fixture(autouse=True)
def may_look() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: a sandbox's PID 1 hides its namespaces")


def test_the_owner_crashes(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        first = both_up(daemon, 1)
        os.kill(daemon.instance("proxy")["pid"], signal.SIGKILL)
        second = both_up(daemon, 2)
        assert second != first
        exited = daemon.records("worker.exited", instance="app", incarnation=1)
        assert exited[0]["requested_by"] == "requires:proxy"


def test_the_owner_is_restarted(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        first = both_up(daemon, 1)
        done = nsvisor.run("restart", "--wait", "proxy")
        assert done.returncode == 0, done.stderr
        assert both_up(daemon, 2) != first


def test_the_owner_is_stopped_and_started_by_hand(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        first = both_up(daemon, 1)
        daemon.post("/v1/stop", names=["proxy"])
        daemon.wait_state("proxy", "stopped")
        daemon.wait_state("app", "waiting")  # in no namespace that nobody else lives in
        daemon.post("/v1/start", names=["proxy"])
        assert both_up(daemon, 2) != first


def test_the_owner_changes_by_a_reload(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        first = both_up(daemon, 1)
        nsvisor.write("nsvisor.toml", FLEET.replace("42002", "42003"))
        assert nsvisor.run("reload").returncode == 0
        assert both_up(daemon, 2) != first


def test_the_owner_ends_while_there_is_no_daemon(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        first = both_up(daemon, 1)
        owner = daemon.instance("proxy")["pid"]
        daemon.kill()
        os.kill(owner, signal.SIGKILL)
        with running(nsvisor, FLEET) as next_daemon:
            assert both_up(next_daemon, 2) != first
