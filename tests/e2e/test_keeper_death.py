"""The keeper is SIGKILLed: its workers die with it and come back under another, once each."""

import os
import signal

from tests.e2e.daemons import Daemon, is_alive, matching, running, wait_until
from tests.e2e.test_stopping import STUCK, hang_in_id_map
from tests.program import Program

FLEET = """
[worker.a]
command = ["sleep", "41001"]
instances = 2
restart = { delay = "0.1s" }

[worker.once]
command = ["sleep", "41002"]
restart = { policy = "never" }
"""


def kill_keeper(daemon: Daemon) -> int:
    """SIGKILL it: its pid."""
    pid = daemon.keeper_pid()
    os.kill(pid, signal.SIGKILL)
    return pid


def test_between_launches(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        for name in ("a-0", "a-1", "once"):
            daemon.wait_state(name, "ready")
        before = daemon.instances()
        keeper = kill_keeper(daemon)
        replaced = daemon.wait_record("keeper.replaced")
        assert daemon.wait_record("keeper.died")["error"] == "killed by SIGKILL"
        assert replaced["pid"] != keeper
        for name in ("a-0", "a-1"):
            wait_until(lambda name=name: daemon.instance(name)["incarnation"] == 2, f"{name} to be launched again")  # type: ignore[misc]
            after = daemon.wait_state(name, "ready")
            assert after["pid"] != before[name]["pid"]
            assert after["restarts"] == 1
            assert after["last_exit"]["cause"] in {"unknown", "signal"}
        assert daemon.wait_state("once", "failed")["last_exit"]["cause"] in {"unknown", "signal"}
        assert not any(is_alive(one["pid"]) for one in before.values())
        # PID 1 of each sandbox and the workload below it, or only the one where that is PID 1 itself.
        assert len(set(matching("sleep", "41001"))) == 2
        assert matching("sleep", "41002") == []
        assert daemon.instances()["a-0"]["last_exit"]["incarnation"] == 1


def test_it_is_replaced_though_nothing_is_to_be_launched(nsvisor: Program) -> None:
    with running(nsvisor, '[worker.a]\ncommand = ["true"]\n') as daemon:
        daemon.wait_state("a", "completed")
        keeper = kill_keeper(daemon)
        replaced = daemon.wait_record("keeper.replaced")
        assert replaced["pid"] != keeper
        daemon.kill()  # the new one holds the state: the next daemon knows that the job is done
        with running(nsvisor, '[worker.a]\ncommand = ["true"]\n') as next_daemon:
            assert next_daemon.keeper_pid() == replaced["pid"]
            assert next_daemon.instance("a")["state"] == "completed"
            assert next_daemon.instance("a")["incarnation"] == 1


def test_during_a_launch(nsvisor: Program) -> None:
    hang_in_id_map(nsvisor)
    with running(nsvisor, STUCK.format(timeout="60s").replace("1000", "41003")) as daemon:
        wait_until(lambda: matching("sleep", "4711"), "the set-up to hang")
        first = daemon.instance("stuck")
        for name in ("newuidmap", "newgidmap"):  # the next try goes through
            (nsvisor.top / "bin" / name).write_text(f'#!/bin/sh\nexec /usr/bin/{name} "$@"\n')
        kill_keeper(daemon)
        daemon.wait_record("keeper.replaced")
        after = daemon.wait_state("stuck", "ready")
        assert after["incarnation"] == first["incarnation"]  # the same launch, not a failure that counts
        assert after["restarts"] == 0
        assert not is_alive(first["pid"])
        assert len(matching("sleep", "41003")) == 1
        assert matching("sleep", "4711") == []


def test_again_and_again_while_workers_are_launched(nsvisor: Program) -> None:
    fleet = '[worker.w]\ncommand = ["sleep", "41004"]\ninstances = 8\nrestart = { delay = "0.1s", factor = 1.0 }\n'
    with running(nsvisor, fleet) as daemon:
        for _ in range(4):
            known = len(daemon.records("keeper.replaced"))
            wait_until(lambda: any(one["state"] == "ready" for one in daemon.instances().values()), "one to be up")
            os.kill(daemon.keeper_pid() if not known else daemon.records("keeper.replaced")[-1]["pid"], signal.SIGKILL)
            daemon.wait_record("keeper.replaced", after=known)
        wait_until(lambda: all(one["state"] == "ready" for one in daemon.instances().values()), "all to be up")
        assert len(matching("sleep", "41004")) == 8
        assert daemon.process.poll() is None
    assert matching("sleep", "41004") == []
