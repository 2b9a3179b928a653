"""Cgroups as this machine has them: none for an ordinary user, or a delegated one, with controllers or without.

What controllers enforce is tested under User-Mode Linux (tests/vehicles/test_uml_limits.py).
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.cgroups import delegated, inside
from tests.e2e.daemons import Daemon, is_alive, matching, running, wait_until
from tests.e2e.test_host_faults import NO_USER_NAMESPACES
from tests.program import Program

ASKING = """
[worker.modest]
command = ["sleep", "1000"]
limits = { memory = "64MiB", cpuset = "0", oom_group = false }

[worker.strict]
command = ["sleep", "1000"]
limits = { cpuset = "0" }
limits_required = true
restart = { policy = "never" }

[worker.plain]
command = ["sleep", "1000"]
"""
# Beats, and leaves at SIGTERM.
TALKER = """
[worker.a]
command = ["sh", "-c", "trap 'exit 7' TERM; cat /proc/self/cgroup; while :; do sleep 0.05; echo beat; done"]
restart = { policy = "never" }
"""
LATE = """
[worker.a]
command = ["sh", "-c", "while :; do sleep 0.05; echo beat; done"]
ready = { kind = "tcp", address = "127.0.0.1:9", timeout = "1s" }
restart = { policy = "never" }
"""
# In the host's pid namespace nothing but the cgroup ends what the first process leaves behind.
LEAVER = """
[worker.a]
command = ["sh", "-c", "setsid sleep 4711 & sleep 1"]
namespaces = { pid = false }
restart = { policy = "never" }
"""
PLAIN = '[worker.b]\ncommand = ["sleep", "1000"]\n'
IMMORTAL = '''
[worker.a]
command = ["python3", "-uc", """
import ctypes, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
print("mortal no more")
time.sleep(1000)
"""]
init = false
restart = { policy = "never" }
'''


@pytest.fixture
def place(unprivileged: Account) -> Iterator[Path]:
    with delegated(unprivileged) as tree:
        yield tree


@contextmanager
def running_in(place: Path, program: Program, config: str) -> Iterator[Daemon]:
    """A daemon that was started in this cgroup."""
    with inside(place):
        context = running(program, config)
        daemon = context.__enter__()
    try:
        yield daemon
    finally:
        context.__exit__(None, None, None)


def tree_of(daemon: Daemon, place: Path) -> Path:
    return place / f"nsvisor-{daemon.keeper_pid()}"


def said(program: Program) -> str:
    path = program.state / "nsvisor" / "logs" / "a.log"
    return path.read_text() if path.exists() else ""


def beats(program: Program) -> int:
    return said(program).count("beat")


def stands_still(program: Program) -> bool:
    time.sleep(0.2)  # what was written before is on its way to the file
    before = beats(program)
    time.sleep(0.3)
    return beats(program) == before


def test_without_a_cgroup_one_record_says_what_is_missing(nsvisor: Program) -> None:
    """Limits are left out, or the worker refused; who asks for none pays for none."""
    with running(nsvisor, ASKING) as daemon:
        daemon.wait_state("modest", "ready")
        daemon.wait_state("strict", "failed")
        daemon.wait_state("plain", "ready")
        (record,) = daemon.records("cgroup.unavailable")
        assert record["controllers"] == ["cpuset", "memory"]
        assert (record["workers"], record["required_by"]) == (["modest"], ["strict"])
        assert "not delegated" in record["reason"]
        assert "Delegate=yes" in record["hint"]
        (skipped,) = daemon.records("setup.phase", instance="modest", phase="cgroup.create")
        assert skipped["outcome"] == "skipped"
        assert skipped["detail"].startswith("not applied: memory.max cpuset.cpus")
        (failed,) = daemon.records("setup.phase", instance="strict", outcome="failed")
        assert (failed["phase"], failed["errno"], failed["detail"]) == ("cgroup.create", "ENODEV", "cpuset.cpus")
        assert "Delegate=cpu cpuset" in failed["hint"]
        assert daemon.records("setup.phase", instance="plain", phase="cgroup.create") == []
        assert "not applied: memory.max" in nsvisor.run("explain", "modest").stdout
        refused = nsvisor.run("pause", "plain")
        assert refused.returncode == 1
        assert "cannot pause plain: it has no cgroup" in refused.stderr
        assert daemon.ask("POST", "/v1/pause", {"names": ["plain"]})[0] == 409


def test_each_incarnation_has_a_fresh_cgroup_and_is_at_its_root(nsvisor: Program, place: Path) -> None:
    with running_in(place, nsvisor, TALKER.replace("never", "always")) as daemon:
        first = daemon.wait_state("a", "ready")
        tree = tree_of(daemon, place)
        assert daemon.records("setup.phase", phase="cgroup.create", outcome="ok")
        assert str(first["pid"]) in (tree / "a#1" / "cgroup.procs").read_text().split()
        assert str(daemon.keeper_pid()) in (tree / "keeper" / "cgroup.procs").read_text().split()
        wait_until(lambda: '"0::/"' in said(nsvisor), "its first words")
        daemon.post("/v1/kill", names=["a"])
        wait_until(lambda: (tree / "a#2").exists() and not (tree / "a#1").exists(), "the next one's cgroup")
        second = daemon.wait_state("a", "ready")
        assert str(second["pid"]) in (tree / "a#2" / "cgroup.procs").read_text().split()
        (shown,) = daemon.ask("GET", "/v1/stats?name=a")[1]["instances"]
        assert shown["cgroup"]["cpu_s"] > 0
        assert shown["cgroup"]["pressure"].keys() <= {"cpu", "memory", "io"}
    assert list(place.glob("nsvisor-*")) == []


def test_a_paused_worker_stands_still_hears_a_stop_and_stays_paused_under_the_next_daemon(
    nsvisor: Program, place: Path
) -> None:
    with inside(place):
        process = nsvisor.start_daemon(TALKER)
    daemon = Daemon(nsvisor, process)
    pid = daemon.wait_state("a", "ready")["pid"]
    wait_until(lambda: beats(nsvisor), "a beat")
    assert nsvisor.run("pause", "a").stdout == "a\n"
    assert stands_still(nsvisor)
    assert "ready (paused)" in nsvisor.run("ps").stdout
    assert "is paused" in nsvisor.run("explain", "a").stdout
    assert "cannot exec in a: it is paused" in nsvisor.run("exec", "a", "--", "true").stderr
    daemon.kill()
    with running(nsvisor, TALKER) as daemon:
        one = daemon.instance("a")
        assert (one["pid"], one["paused"]) == (pid, True)
        assert stands_still(nsvisor)
        before = beats(nsvisor)
        daemon.post("/v1/unpause", names=["a"])
        wait_until(lambda: beats(nsvisor) > before, "a beat after the pause")
        status, answer = daemon.ask("POST", "/v1/unpause", {"names": ["a"]})
        assert (status, answer["error"]["message"]) == (409, "cannot unpause a: it is not paused")
        daemon.post("/v1/pause", names=["a"])
        daemon.post("/v1/stop", names=["a"])
        stopped = daemon.wait_state("a", "stopped")
        assert (stopped["last_exit"]["code"], stopped["paused"]) == (7, False)
        assert "is stopped, not running" in daemon.ask("POST", "/v1/pause", {"names": ["a"]})[1]["error"]["message"]


def test_a_paused_worker_can_be_killed(nsvisor: Program, place: Path) -> None:
    with running_in(place, nsvisor, TALKER) as daemon:
        daemon.wait_state("a", "ready")
        daemon.post("/v1/pause", names=["a"])
        daemon.post("/v1/kill", names=["a"], signal="SIGKILL")
        assert daemon.wait_state("a", "failed")["last_exit"]["signal"] == "SIGKILL"


def test_deadlines_wait_while_a_worker_is_paused(nsvisor: Program, place: Path) -> None:
    with running_in(place, nsvisor, LATE) as daemon:
        daemon.wait_state("a", "running")
        daemon.post("/v1/pause", names=["a"])
        time.sleep(1.2)  # longer than it has to become ready
        assert daemon.instance("a")["state"] == "running"
        daemon.post("/v1/unpause", names=["a"])
        daemon.wait_record("worker.ready_timeout", instance="a")


def test_what_a_worker_leaves_behind_ends_with_its_cgroup(nsvisor: Program, place: Path) -> None:
    with running_in(place, nsvisor, LEAVER) as daemon:
        tree = tree_of(daemon, place)
        wait_until(lambda: matching("sleep", "4711"), "the process that stays behind")
        (left,) = matching("sleep", "4711")
        assert str(left) in (tree / "a#1" / "cgroup.procs").read_text().split()
        daemon.wait_state("a", "completed")
        assert not is_alive(left)
        assert not (tree / "a#1").exists()


def test_what_a_dead_keeper_left_is_ended_at_the_next_start(nsvisor: Program, place: Path) -> None:
    """Without the death signal, which a workload may clear."""
    with inside(place):
        process = nsvisor.start_daemon(IMMORTAL)
        daemon = Daemon(nsvisor, process)
        pid = daemon.wait_state("a", "ready")["pid"]
        wait_until(lambda: "mortal" in said(nsvisor), "it to clear its death signal")
        tree, keeper = tree_of(daemon, place), daemon.keeper_pid()
        daemon.kill()
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not is_alive(keeper), "the keeper to die")
        assert is_alive(pid)
        with running(nsvisor, PLAIN) as daemon:
            daemon.wait_state("b", "ready")
            assert not is_alive(pid)
            assert not tree.exists()


def test_a_cgroup_that_cannot_be_made_fails_its_phase_and_leaves_nothing(nsvisor: Program, place: Path) -> None:
    config = PLAIN.replace("[worker.b]", "[worker.b]\nrestart.policy = 'never'\nautostart = false")
    with running_in(place, nsvisor, config) as daemon:
        tree = tree_of(daemon, place)
        (tree / "cgroup.max.descendants").write_text("1")  # the keeper's own
        daemon.post("/v1/start", names=["b"])
        daemon.wait_state("b", "failed")
        (failed,) = daemon.records("setup.phase", outcome="failed")
        assert (failed["phase"], failed["errno"], failed["syscall"]) == ("cgroup.create", "EAGAIN", "mkdirat")
        assert "cgroup.max.descendants" in failed["hint"]
        assert [one.name for one in tree.iterdir() if one.is_dir()] == ["keeper"]


@pytest.mark.parametrize(
    ("config", "wrapper", "phase", "number"),
    [
        (PLAIN, NO_USER_NAMESPACES, "clone", "ENOSPC"),
        (PLAIN + 'network.mode = "path:/nonexistent"\n', [], "ns.join", "ENOENT"),
        (PLAIN + 'working_dir = "/nonexistent"\n', [], "cwd.enter", "ENOENT"),
    ],
    ids=["refused by the keeper", "refused before it", "failed in the sandbox"],
)
def test_a_failure_after_the_cgroup_is_told_of_its_own_phase(
    nsvisor: Program, place: Path, config: str, wrapper: list[str], phase: str, number: str
) -> None:
    """The daemon's own step is not the keeper's: what the keeper counts begins after it."""
    nsvisor.wrapper = wrapper
    with running_in(place, nsvisor, config.replace("[worker.b]", "[worker.b]\nrestart.policy = 'never'")) as daemon:
        daemon.wait_state("b", "failed")
        (failed,) = daemon.records("setup.phase", outcome="failed")
        assert (failed["phase"], failed["errno"]) == (phase, number)
        assert [one.name for one in tree_of(daemon, place).iterdir() if one.is_dir()] == ["keeper"]


def test_run_says_which_limits_it_cannot_set(nsvisor: Program) -> None:
    done = nsvisor.run("run", "--limit", "memory=64MiB", "--", "echo", "done")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr.startswith("limits not applied: memory.max (")
    assert nsvisor.run("run", "--", "true").stderr == ""


def test_run_has_a_cgroup_where_a_limit_is_asked_for(nsvisor: Program, place: Path) -> None:
    with inside(place):
        done = nsvisor.run("run", "--limit", "pids=9", "--log-phases", "--", "cat", "/proc/self/cgroup")
    assert "0::/\n" in done.stdout
    assert re.search(r"^cgroup.create +[0-9]+ us", done.stderr, re.MULTILINE)
    assert list(place.glob("nsvisor-*")) == []
