"""init = "static": PID 1 is a program of the host's."""

import json
import os
import shutil

import psutil
import pytest

from supervisor.kernel import landlock
from tests.e2e.daemons import running, wait_until
from tests.program import Program

pytestmark = pytest.mark.skipif(shutil.which("catatonit") is None, reason="no catatonit")

STOPPED = """
[worker.polite]
command = ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"]
init = "static"
ready = { kind = "log", pattern = "up" }

[worker.killed]
command = ["sh", "-c", "kill -KILL $$"]
init = "static"
restart = { policy = "never" }

[worker.by-name]
command = ["sh", "-c", "kill -TERM $$"]
init = "static"
restart = { policy = "never", success_exit = ["SIGTERM"] }

[worker.by-code]
command = ["sh", "-c", "exit 3"]
init = "static"
restart = { policy = "never" }

[worker.nowhere]
command = ["no-such-command"]
init = "static"
restart = { policy = "never" }

[worker.told]
command = ["python3", "-c", '''
import os, socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1\\nMAINPID=%d\\nSTATUS=ppid %d" % (os.getpid(), os.getppid()), os.environ["NOTIFY_SOCKET"])
time.sleep(46031)
''']
init = "static"
ready = { kind = "notify", timeout = "20s" }

[worker.locked]
command = ["sh", "-c", "cat /proc/1/comm; exec sleep 46032"]
init = "static"
limits = { nofile = 64, core = 0 }
ready = { kind = "log", pattern = "catatonit" }
LANDLOCK
"""
# What the command needs, and no word of PID 1.
PROGRAMS = [*(os.path.realpath(f"/usr/bin/{name}") for name in ("sh", "cat", "sleep")), "/usr/lib"]
LANDLOCK = f"security = {{ landlock = {{ execute = {json.dumps(PROGRAMS)} }} }}"


def fleet() -> str:
    try:
        landlock.abi()
    except OSError:
        return STOPPED.replace("LANDLOCK", "")
    return STOPPED.replace("LANDLOCK", LANDLOCK)


def test_it_forwards_reaps_and_folds(nsvisor: Program) -> None:
    with running(nsvisor, fleet()) as daemon:
        for name in ("polite", "told", "locked"):
            daemon.wait_state(name, "ready")
        told = daemon.instance("told")
        assert (told["main_pid"], told["status_text"]) == (2, "ppid 1")
        assert psutil.Process(told["pid"]).name() == "catatonit"

        for name in ("killed", "by-code", "nowhere"):
            daemon.wait_state(name, "failed")
        daemon.wait_state("by-name", "completed")
        killed = daemon.instance("killed")["last_exit"]
        assert (killed["cause"], killed["code"], killed["or_signal"]) == ("exit", 137, "SIGKILL")
        assert "or_signal" not in daemon.instance("by-code")["last_exit"]
        nowhere = daemon.instance("nowhere")["last_exit"]
        assert (nowhere["cause"], nowhere["phase"], nowhere["errno"]) == ("setup", "exec", "ENOENT")
        words = nsvisor.run("explain", "killed").stdout
        assert 'code 137 (or was killed by SIGKILL: init = "static" cannot tell)' in words

        done = nsvisor.run("exec", "locked", "--", "sh", "-c", "ulimit -n; cat /proc/1/comm")
        assert done.stdout == "64\ncatatonit\n", done.stderr
        daemon.post("/v1/stop", names=["polite"])
        daemon.wait_state("polite", "stopped")
        assert daemon.instance("polite")["last_exit"]["code"] == 7  # 137, had it not heard the signal


def test_it_is_adopted(nsvisor: Program) -> None:
    config = '[worker.kept]\ncommand = ["sleep", "46033"]\ninit = "static"\nrestart = { policy = "never" }\n'
    with running(nsvisor, config) as daemon:
        before = daemon.wait_state("kept", "ready")
        daemon.kill()
    with running(nsvisor, config) as daemon:
        assert daemon.wait_state("kept", "ready")["pid"] == before["pid"]
        daemon.post("/v1/kill", names=["kept"], signal="SIGTERM")
        wait_until(lambda: daemon.instance("kept")["last_exit"], "the exit of the adopted one")
        last = daemon.instance("kept")["last_exit"]
        assert (last["code"], last["or_signal"]) == (143, "SIGTERM")
