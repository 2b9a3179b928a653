"""PID 1 of a sandbox: signals go through, the dead are buried, nobody stays."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from supervisor.spec.model import Limits, Namespaces
from tests.nsinit.keepers import Keeper, wait_readable
from tests.nsinit.sandboxes import Sandbox, launched, run, worker

PYTHON = "/usr/bin/python3"
CAP_KILL = 1 << 5
# Says the number of each signal that it gets, and leaves at SIGTERM with 7.
LISTENER = """
import os, signal, sys
def heard(number, frame):
    os.write(1, b"%d\\n" % number)
    if number == signal.SIGTERM:
        os._exit(7)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, heard)
os.write(1, b"up\\n")
while True:
    signal.pause()
"""
# Starts a daemon as daemons are made, forked twice and in a session of its own, and stays until its input ends.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
os.wait()
os.write(1, b"up\\n")
sys.stdin.read()
"""
SHARED_PID = Namespaces(pid=False, mount=False)


def started(sandbox: Sandbox) -> None:
    sandbox.go()
    sandbox.until_end()
    assert sandbox.line() == "up"


@pytest.mark.parametrize("own_pid_namespace", [True, False])
def test_signals_are_forwarded(keeper: Keeper, own_pid_namespace: bool) -> None:
    spaces = Namespaces() if own_pid_namespace else SHARED_PID
    with launched(keeper, worker([PYTHON, "-I", "-c", LISTENER], namespaces=spaces)) as sandbox:
        started(sandbox)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGWINCH, signal.SIGCONT, signal.SIGRTMAX):
            sandbox.signal(number)
            assert sandbox.line() == str(int(number))
        sandbox.signal(signal.SIGTERM)
        assert sandbox.wait()[0] == 7 << 8


def test_every_signal_sent_before_the_workload_listens_is_kept(keeper: Keeper) -> None:
    with launched(keeper, worker([PYTHON, "-I", "-c", "import time; time.sleep(60)"])) as sandbox:
        sandbox.signal(signal.SIGTERM)  # it waits for `go`, with all signals blocked
        sandbox.go()
        sandbox.until_end()
        assert sandbox.failure is None
        assert sandbox.wait()[0] == signal.SIGTERM


def test_signals_from_inside_reach_the_workload_through_pid_1(keeper: Keeper) -> None:
    assert run(keeper, worker("trap 'exit 9' USR1; kill -USR1 1; while :; do sleep 0.01; done")).status == 9 << 8


def test_zombies_are_reaped(keeper: Keeper) -> None:
    orphan = "(sleep 60 & echo $! > /tmp/orphan); orphan=$(cat /tmp/orphan); kill -9 $orphan"
    wait = "while [ -e /proc/$orphan ]; do sleep 0.01; done; echo gone"
    assert run(keeper, worker(f"{orphan}; {wait}")).out == "gone\n"


def descendants(sandbox: Sandbox) -> list[psutil.Process]:
    return psutil.Process(sandbox.pid).children(recursive=True)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_a_double_forked_grandchild_dies_with_the_sandbox(keeper: Keeper, how: str) -> None:
    reader, writer = os.pipe()
    with launched(keeper, worker([PYTHON, "-I", "-c", DAEMON]), stdin=reader) as sandbox:
        os.close(reader)
        started(sandbox)
        # The workload and the daemon, which PID 1 took in.
        parents = {process.ppid() for process in descendants(sandbox)}
        assert (len(descendants(sandbox)), parents) == (2, {sandbox.pid})
        os.close(writer)
        if how == "kill":
            sandbox.signal(signal.SIGKILL)
        sandbox.wait()
        assert sandbox.output() == ""  # the pipe's last writer is gone


@pytest.mark.parametrize("how", ["exit", "keeper"])
def test_without_a_pid_namespace_the_subreaper_ends_what_is_left(own_keeper: Keeper, how: str) -> None:
    """Once the workload has ended, and when the keeper dies: there is no namespace to do it."""
    reader, writer = os.pipe()
    daemon = worker([PYTHON, "-I", "-c", DAEMON + "os._exit(5)"], namespaces=SHARED_PID)
    with launched(own_keeper, daemon, stdin=reader) as sandbox:
        os.close(reader)
        started(sandbox)
        pidfds = [os.pidfd_open(process.pid) for process in descendants(sandbox)]
        assert len(pidfds) == 2
        if how == "exit":
            os.close(writer)
            assert sandbox.wait()[0] == 5 << 8
        else:
            own_keeper.kill()
            wait_readable(sandbox.pidfd)
            os.close(writer)
        for pidfd in pidfds:
            wait_readable(pidfd)
            os.close(pidfd)


def test_pid_1_shows_nothing_of_itself(keeper: Keeper) -> None:
    ran = run(keeper, worker("export LC_ALL=C; cat /proc/1/environ; readlink /proc/1/exe; ls /proc/1/root/"))
    assert ran.out == ""
    assert ran.err.count("Permission denied") == 2  # readlink says nothing


@pytest.mark.parametrize("limits", [Limits(), Limits(nofile=64)], ids=["spawned", "forked"])
def test_pid_1_holds_the_pipe_for_its_report_and_at_most_one_capability(keeper: Keeper, limits: Limits) -> None:
    with launched(keeper, worker("echo up; exec sleep 60", limits=limits)) as sandbox:
        started(sandbox)
        fields: dict[str, str] = {}
        while fields.get("NoNewPrivs") != "1" or int(fields["CapPrm"], 16) & ~CAP_KILL:  # it lets the workload go first
            status = Path(f"/proc/{sandbox.pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert {int(fields[f"Cap{kind}"], 16) & ~CAP_KILL for kind in ("Eff", "Prm", "Inh", "Amb")} == {0}
        if keeper.who.privileged:  # what hides itself shows its descriptors to root only
            assert len(os.listdir(f"/proc/{sandbox.pid}/fd")) == 1


def test_init_false_makes_the_workload_pid_1(keeper: Keeper) -> None:
    assert run(keeper, worker("echo $$", init=False)).out == "1\n"
    assert run(keeper, worker("echo $$")).out == "2\n"


def test_without_an_init_the_namespace_ends_with_its_pid_1(keeper: Keeper) -> None:
    reader, writer = os.pipe()
    with launched(keeper, worker([PYTHON, "-I", "-c", DAEMON], init=False), stdin=reader) as sandbox:
        os.close(reader)
        started(sandbox)
        os.close(writer)
        sandbox.wait()
        assert sandbox.output() == ""
