"""`nsvisor exec` on a terminal: the command has one of the worker's own devpts, with job control."""

import os
import termios

from tests.e2e.daemons import matching, running, wait_until
from tests.e2e.test_exec import WEB
from tests.e2e.test_run_terminal import on_a_terminal
from tests.program import Program


def test_a_shell_in_a_worker(nsvisor: Program) -> None:
    nsvisor.environ["TERM"] = "vt220"
    with running(nsvisor, WEB) as daemon:
        daemon.wait_state("web", "ready")
        with on_a_terminal(nsvisor, "--env", "PS1=ready> ", "web", "sh", "-i", verb="exec", columns=100) as screen:
            screen.expect("ready> ")
            screen.type("tty; echo $TERM; stty size\n")
            screen.expect(r"/dev/pts/0\r\nvt220\r\n24 100\r\n")
            termios.tcsetwinsize(screen.master, (50, 132))
            screen.type("sleep 46011\n")
            wait_until(lambda: matching("sleep", "46011"), "the job")
            screen.type("\x1a")
            screen.expect("Stopped")
            screen.expect("ready> ")
            screen.type("kill %1; fg; stty size\n")
            screen.expect(r"50 132\r\n")
            screen.type("exit 4\n")
            assert screen.wait() == 4
        assert not matching("sleep", "46011")
        assert daemon.wait_record("exec.started")["terminal"] is True

        with on_a_terminal(nsvisor, "-T", "web", "sh", "-c", "ls /dev/pts; exit 5", verb="exec") as screen:
            assert screen.wait() == 5
            assert "0" not in screen.shown.split()

        with on_a_terminal(nsvisor, "web", "sh", "-c", "echo up; sleep 46012", verb="exec") as screen:
            screen.expect("up\r\n")
            wait_until(lambda: matching("sleep", "46012"), "the command's child")
            os.close(screen.master)  # as a window that is closed
            screen.master = -1
            screen.process.wait(10)
        wait_until(lambda: not matching("sleep", "46012"), "all of it to end")
        assert daemon.instance("web")["state"] == "ready"
