"""`$XDG_RUNTIME_DIR` is deleted under a running daemon: workers go on, and it can be reached again."""

import shutil

from tests.e2e.daemons import is_alive, matching, running, wait_until
from tests.program import Program

FLEET = """
[worker.steady]
command = ["sleep", "46011"]

[worker.crashy]
command = ["sh", "-c", "sleep 0.2; exit 3"]
ready = { kind = "notify", timeout = "10s" }
restart = { delay = "0.2s", factor = 1.0 }
"""


def test_deleted_and_the_daemon_goes_on(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        before = daemon.wait_state("steady", "ready")
        shutil.rmtree(nsvisor.runtime / "nsvisor")
        for name in ("control.sock", "exec.sock"):
            daemon.wait_record("control.restored", listener=str(nsvisor.runtime / "nsvisor" / name))
        assert (nsvisor.runtime / "nsvisor").stat().st_mode & 0o777 == 0o700
        done = nsvisor.run("exec", "steady", "--", "echo", "here")
        assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr
        known = len(daemon.records("setup.completed", instance="crashy"))
        daemon.wait_record("setup.completed", instance="crashy", after=known)
        assert daemon.instance("steady")["pid"] == before["pid"]
        assert daemon.records("setup.failed") == []


def test_deleted_and_then_the_daemon_is_killed(nsvisor: Program) -> None:
    """There is one copy of the worker afterwards, whoever has it."""
    with running(nsvisor, FLEET) as daemon:
        daemon.wait_state("steady", "ready")
        keeper = daemon.keeper_pid()
        shutil.rmtree(nsvisor.runtime / "nsvisor")
        daemon.kill()
    with running(nsvisor, FLEET) as daemon:
        daemon.wait_state("steady", "ready")
        wait_until(lambda: len(matching("sleep", "46011")) == 1, "one copy")
        assert daemon.keeper_pid() == keeper or not is_alive(keeper)
