"""The whole tree is gone after a stop, whatever it did to get away; what cannot be killed is said to be so."""

import os
import signal

import psutil
import pytest

from tests.e2e.daemons import Daemon, is_alive, killed_in_the_end, matching, running, wait_until
from tests.e2e.tracer import traced
from tests.program import Program

# Forked twice, in a session of its own: nobody's child but the nearest subreaper's.
ESCAPING = """
[worker.w]
command = ["sh", "-c", "(setsid sleep 45001 > /dev/null 2>&1 &); exec sleep 45002"]
restart = { policy = "never" }
namespaces = { pid = false }
"""
# Four that change their pids all the time: each forks, and the parent leaves.
HOPPING = '''
[worker.w]
command = ["python3", "-c", """
import os, time
if all([os.fork() for _ in range(4)]):
    time.sleep(1000)
os.setsid()
while os.fork() == 0:
    time.sleep(0.002)
""", "45003"]
restart = { policy = "never" }
namespaces = { pid = false }
'''


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_escaped_where_no_pid_namespace_holds_it_is_ended(nsvisor: Program, end: str) -> None:
    """Before the exit is told; with `kill`, the first process dies alone and leaves all below it behind."""
    with running(nsvisor, ESCAPING) as daemon:
        wait_until(lambda: matching("sleep", "45001") and matching("sleep", "45002"), "its whole tree")
        pids = [*matching("sleep", "45001"), *matching("sleep", "45002")]
        if end == "stop":
            assert nsvisor.run("stop", "--wait", "w").returncode == 0
        else:
            daemon.post("/v1/kill", names=["w"], signal="SIGKILL")
            daemon.wait_state("w", "failed")
        assert [pid for pid in pids if is_alive(pid)] == []


def test_what_forks_all_the_time_is_ended_too(nsvisor: Program) -> None:
    with running(nsvisor, HOPPING) as daemon:
        daemon.wait_state("w", "ready")
        first = set(matching("45003"))
        wait_until(lambda: len(set(matching("45003")) - first) >= 4, "them to hop")
        assert nsvisor.run("stop", "--wait", "w").returncode == 0
        wait_until(lambda: matching("45003") == [], "all to be gone")


# Leaves with 7 when asked to, and can be seen to be up.
POLITE = """
[worker.w]
command = ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"]
stop = { grace = "60s" }
"""


@pytest.mark.parametrize("which", ["first process", "workload"])
def test_a_stopped_process_hears_that_it_is_to_leave(nsvisor: Program, which: str) -> None:
    with running(nsvisor, POLITE) as daemon:
        wait_until(lambda: "up" in nsvisor.run("logs", "w").stdout, "it to listen")
        first = psutil.Process(daemon.instance("w")["pid"])
        stopped = first if which == "first process" else first.children()[0]
        os.kill(stopped.pid, signal.SIGSTOP)
        wait_until(lambda: stopped.status() == psutil.STATUS_STOPPED, "it to be stopped")
        assert nsvisor.run("stop", "--wait", "w").returncode == 0
        assert daemon.wait_record("worker.exited")["code"] == 7


STUCK = """
[supervisor]
adopt_timeout = "60s"
[worker.held]
command = ["sleep", "45010"]
stop = { grace = "0s" }
[worker.other]
command = ["sleep", "45011"]
"""


def test_what_cannot_be_killed_is_said_and_never_doubled(root_nsvisor: Program) -> None:
    with running(root_nsvisor, STUCK) as daemon:
        daemon.wait_state("held", "ready")
        daemon.wait_state("other", "ready")
        first = daemon.instance("held")["pid"]
        (workload,) = psutil.Process(first).children()
        with traced(workload.pid) as tracer:
            assert root_nsvisor.run("stop", "--wait", "held").returncode == 1
            assert "unkillable" in root_nsvisor.run("ps").stdout
            daemon.wait_record("worker.unkillable", instance="held")
            daemon.post("/v1/start", names=["held"])
            assert daemon.instance("held")["state"] == "unkillable"
            assert daemon.instance("other")["state"] == "ready"
            assert daemon.stop() == 5  # in bounded time
            assert daemon.records("daemon.stopped")[-1]["unkillable"] == ["held"]
            assert matching("sleep", "45011") == []
            with killed_in_the_end(root_nsvisor.start_daemon(STUCK)) as process:
                after = Daemon(root_nsvisor, process)
                after.wait_state("other", "ready")
                assert after.instance("held")["state"] == "unkillable"
                assert after.instance("held")["pid"] == first
                assert matching("sleep", "45010") == []  # neither the old one nor a second
                tracer.kill()
                assert after.wait_state("held", "ready")["incarnation"] == 2
                assert after.stop() == 0
