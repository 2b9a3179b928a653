"""A state directory whose disk is full: workers and daemon go on, and say what was lost."""

import subprocess
from pathlib import Path

from tests.e2e.daemons import Daemon, running, wait_until
from tests.program import Program

TINY_STATE = [
    *("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "sh", "-c"),
    'mount -t tmpfs -o size=256k,mode=700 none "$XDG_STATE_HOME" && exec "$@"',
    "sh",
]
FILL = '&& ! cat /dev/zero >"$XDG_STATE_HOME/filler" 2>/dev/null &&'
FLEET = """
[worker.chatty]
command = ["sh", "-c", "n=0; while true; do n=$((n + 1)); echo line $n; sleep 0.05; done"]

[worker.crashy]
command = ["sh", "-c", "sleep 0.3; exit 3"]
restart = { delay = "0.2s", factor = 1.0 }
"""


def inside(daemon: Daemon, command: str) -> None:
    """Run a shell command where the daemon is."""
    enter = ["nsenter", f"--target={daemon.pid}", "--user", "--mount", "--preserve-credentials", "sh", "-c", command]
    subprocess.run(enter, check=True, cwd="/", **daemon.program.user.identity())  # type: ignore[call-overload]


def state(daemon: Daemon) -> Path:
    """The state directory as the daemon sees it."""
    return Path(f"/proc/{daemon.pid}/root{daemon.program.state}")


def test_workers_and_daemon_go_on(nsvisor: Program) -> None:
    plain, nsvisor.wrapper = nsvisor.wrapper, TINY_STATE
    with running(nsvisor, FLEET) as daemon:
        nsvisor.wrapper = plain
        daemon.wait_state("chatty", "ready")
        before = daemon.instance("chatty")
        log = state(daemon) / "nsvisor" / "logs" / "chatty.log"
        wait_until(lambda: log.exists() and b"line 5" in log.read_bytes(), "output in the log")
        inside(daemon, f"! cat /dev/zero >{nsvisor.state}/filler 2>/dev/null")
        failed = daemon.wait_record("log.failed", instance="chatty")
        assert (failed["errno"], failed["level"]) == ("ENOSPC", "error")
        assert failed["path"] == f"{nsvisor.state}/nsvisor/logs/chatty.log"
        daemon.wait_record("history.failed", instance="crashy")
        exits = len(daemon.records("worker.exited", instance="crashy"))
        daemon.wait_record("worker.exited", instance="crashy", after=exits + 1)  # it goes on being restarted
        assert daemon.instance("chatty")["pid"] == before["pid"]
        inside(daemon, f"rm {nsvisor.state}/filler")
        recovered = daemon.wait_record("log.recovered", instance="chatty")
        assert recovered["lost_lines"] > 0
        written = log.read_bytes()
        assert written.endswith(b"\n")
        wait_until(lambda: len(log.read_bytes()) > len(written), "the log to grow again")
        assert daemon.instance("chatty")["pid"] == before["pid"]
        assert daemon.instance("chatty")["restarts"] == 0


def test_a_daemon_that_finds_the_disk_full(nsvisor: Program) -> None:
    nsvisor.wrapper = [word.replace("&&", FILL) for word in TINY_STATE]
    with running(nsvisor, FLEET) as daemon:
        daemon.wait_state("chatty", "ready")
        daemon.wait_record("log.failed", instance="chatty")
        daemon.wait_record("worker.exited", instance="crashy", after=1)
        assert daemon.stop() == 0
