"""Ends that need force: a deaf worker, a tree that hides, a set-up under way or stuck."""

import time

from tests.accounts import needs_a_range
from tests.e2e.daemons import is_alive, matching, running, wait_until
from tests.program import Program

DEAF = """
[worker.deaf]
command = ["sh", "-c", "trap '' TERM; echo deaf; while true; do sleep 0.1; done"]
stop = { grace = "500ms" }
"""
# Two forks and a session of its own: what daemons do to get away from whoever started them.
HIDING = """
[worker.hiding]
command = ["sh", "-c", "setsid sh -c 'sleep 31337 & setsid sleep 31338 & exec sleep 31339' & wait"]
"""
# A stand-in for newuidmap that does not come back.
STUCK = """
[worker.stuck]
command = ["sleep", "1000"]
id_map = "keep-id"
setup_timeout = "{timeout}"
restart = {{ policy = "never" }}
"""


def hang_in_id_map(program: Program) -> None:
    """Have newuidmap and newgidmap hang. Skips the test where there are none to come back to."""
    needs_a_range(program.user)
    folder = program.folder("bin")
    for name in ("newuidmap", "newgidmap"):
        script = folder / name
        script.write_text("#!/bin/sh\nexec sleep 4711\n")
        program.user.owns(script).chmod(0o755)
    program.environ["PATH"] = f"{folder}:{program.environ['PATH']}"


def test_a_worker_that_ignores_sigterm_is_killed_after_its_grace(nsvisor: Program) -> None:
    with running(nsvisor, DEAF) as daemon:
        daemon.wait_state("deaf", "ready")
        wait_until(lambda: "deaf" in nsvisor.run("logs", "deaf").stdout, "it to be deaf")
        pid = daemon.instance("deaf")["pid"]
        begun = time.monotonic()
        assert nsvisor.run("stop", "--wait", "deaf").returncode == 0
        assert time.monotonic() - begun < 5
        stopping = daemon.wait_record("worker.stopping", instance="deaf")
        assert (stopping["signal"], stopping["grace_s"]) == ("SIGTERM", 0.5)
        assert daemon.wait_record("worker.killing", instance="deaf")["by"] == "grace"
        exited = daemon.wait_record("worker.exited", instance="deaf")
        assert (exited["cause"], exited["signal"], exited["requested_by"]) == ("signal", "SIGKILL", "operator")
        assert not is_alive(pid)
        assert daemon.instance("deaf")["state"] == "stopped"


def test_a_worker_that_forks_twice_is_gone_as_a_whole(nsvisor: Program) -> None:
    with running(nsvisor, HIDING) as daemon:
        daemon.wait_state("hiding", "ready")
        names = ("31337", "31338", "31339")
        wait_until(lambda: all(matching("sleep", name) for name in names), "its whole tree")
        pids = [pid for name in names for pid in matching("sleep", name)]
        assert nsvisor.run("stop", "--wait", "hiding").returncode == 0
        assert [pid for pid in pids if is_alive(pid)] == []


def test_the_same_without_a_pid_namespace(nsvisor: Program) -> None:
    shared = "namespaces = { pid = false }\n"
    with running(nsvisor, HIDING.replace("31", "32") + shared) as daemon:
        daemon.wait_state("hiding", "ready")
        names = ("32337", "32338", "32339")
        wait_until(lambda: all(matching("sleep", name) for name in names), "its whole tree")
        pids = [pid for name in names for pid in matching("sleep", name)]
        assert nsvisor.run("stop", "--wait", "hiding").returncode == 0
        wait_until(lambda: [pid for pid in pids if is_alive(pid)] == [], f"{pids} to be gone")


def test_the_set_up_time_out_names_the_phase_that_hangs(nsvisor: Program) -> None:
    hang_in_id_map(nsvisor)
    with running(nsvisor, STUCK.format(timeout="1s")) as daemon:
        daemon.wait_state("stuck", "failed")
        (pending,) = daemon.records("setup.phase", instance="stuck", outcome="pending")
        assert (pending["phase"], pending["level"]) == ("id.map", "error")
        assert "the set-up time-out of 1 s is over" in pending["message"]
        assert "newuidmap does not come back" in pending["hint"]
        (exited,) = daemon.records("worker.exited", instance="stuck")
        assert (exited["cause"], exited["phase"]) == ("setup-timeout", "id.map")
        assert "Stopped in id.map" in nsvisor.run("explain", "stuck").stdout
        assert matching("sleep", "4711") == []


def test_sigterm_to_the_daemon_during_a_set_up(nsvisor: Program) -> None:
    hang_in_id_map(nsvisor)
    with running(nsvisor, STUCK.format(timeout="60s")) as daemon:
        wait_until(lambda: matching("sleep", "4711"), "the set-up to hang")
        assert daemon.instance("stuck")["state"] == "creating"
        begun = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begun < 5
        assert matching("sleep", "4711") == []
        (exited,) = daemon.records("worker.exited", instance="stuck")
        assert exited["requested_by"] == "shutdown"
        assert daemon.records("daemon.stopped")[0]["unkillable"] == []


def test_stop_during_a_set_up_and_then_start(nsvisor: Program) -> None:
    hang_in_id_map(nsvisor)
    with running(nsvisor, STUCK.format(timeout="60s")) as daemon:
        wait_until(lambda: matching("sleep", "4711"), "the set-up to hang")
        assert nsvisor.run("stop", "--wait", "stuck").returncode == 0
        assert matching("sleep", "4711") == []
        daemon.post("/v1/start", names=["stuck"])
        wait_until(lambda: matching("sleep", "4711"), "the next set-up to hang")
        assert daemon.instance("stuck")["incarnation"] == 2


def test_nothing_is_started_any_more_while_the_daemon_stops(nsvisor: Program) -> None:
    with running(nsvisor, DEAF.replace("500ms", "2s") + '[worker.idle]\ncommand = ["sleep", "1000"]\n') as daemon:
        daemon.wait_state("idle", "ready")
        wait_until(lambda: "deaf" in nsvisor.run("logs", "deaf").stdout, "it to be deaf")
        daemon.post("/v1/shutdown")
        daemon.wait_state("idle", "stopped")
        status, answer = daemon.ask("POST", "/v1/start", {"names": ["idle"]})
        assert status == 409
        assert "the daemon is stopping" in answer["error"]["message"]
        assert daemon.process.wait(10) == 0
