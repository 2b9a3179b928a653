"""`nsvisor run` on a terminal: the command has one of its own that behaves like the caller's."""

import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.daemons import killed_in_the_end, matching, wait_until
from tests.program import Program

PATIENCE_S = 20.0


class Screen:
    """The master's side of a terminal on which the program runs."""

    def __init__(self, master: int, process: "subprocess.Popen[str]") -> None:
        self.master = master
        self.process = process
        self.shown = ""

    def read(self) -> bool:
        """Take what is there; false at the end."""
        ready, _, _ = select.select([self.master], [], [], 0.1)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the terminal any more
            return False
        self.shown += data.decode()
        return bool(data)

    def expect(self, pattern: str) -> str:
        """Read until the pattern is shown; what was shown up to its end is taken away."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, self.shown)) is None:
            assert time.monotonic() < deadline, f"{pattern!r} was not shown, but {self.shown!r}"
            self.read()
        self.shown = self.shown[found.end() :]
        return found.group()

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def wait(self) -> int:
        """Read to the end: the exit status."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end, having shown {self.shown!r}"
            self.read()
        while select.select([self.master], [], [], 0)[0] and self.read():
            pass
        return self.process.returncode


@contextmanager
def on_a_terminal(
    program: Program, *command: str, verb: str = "run", rows: int = 24, columns: int = 80
) -> Iterator[Screen]:
    """`nsvisor VERB COMMAND` as the leader of a session on a new terminal."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (rows, columns))
    before = termios.tcgetattr(slave)
    os.fchown(slave, program.user.uid, program.user.gid)
    program.wrapper = ["setsid", "--ctty"]
    process = program.popen(verb, *command, stdin=slave, stdout=slave, stderr=slave)
    with killed_in_the_end(process):
        try:
            screen = Screen(master, process)
            yield screen
            if screen.master >= 0:
                assert termios.tcgetattr(slave) == before  # as the shell needs it
        finally:
            os.close(slave)
            if screen.master >= 0:
                os.close(master)


def test_it_is_a_terminal_of_the_sandbox(nsvisor: Program) -> None:
    with on_a_terminal(nsvisor, "--", "sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && exit 6") as screen:
        screen.expect(r"/dev/pts/0\r\n")
        assert screen.wait() == 6


def test_ctrl_c_reaches_the_command(nsvisor: Program) -> None:
    script = "trap 'echo interrupted; exit 5' INT; echo up; while :; do sleep 0.05; done"
    with on_a_terminal(nsvisor, "--", "sh", "-c", script) as screen:
        screen.expect("up\r\n")
        screen.type("\x03")
        screen.expect("interrupted\r\n")
        assert screen.wait() == 5


def test_the_size_is_passed_on_and_follows(nsvisor: Program) -> None:
    script = "stty size; trap 'stty size; exit 0' WINCH; echo up; while :; do sleep 0.05; done"
    with on_a_terminal(nsvisor, "--", "sh", "-c", script, rows=40, columns=100) as screen:
        screen.expect("40 100\r\n")
        screen.expect("up\r\n")
        termios.tcsetwinsize(screen.master, (50, 132))
        screen.expect("50 132\r\n")
        assert screen.wait() == 0


def test_a_shell_has_job_control(nsvisor: Program) -> None:
    with on_a_terminal(nsvisor, "--env", "PS1=ready> ", "--", "sh", "-i") as screen:
        screen.expect("ready> ")
        screen.type("sleep 47001\n")
        wait_until(lambda: matching("sleep", "47001"), "the job")
        screen.type("\x1a")
        screen.expect(r"Stopped")
        screen.expect("ready> ")
        screen.type("kill %1; fg\n")
        screen.expect("ready> ")
        wait_until(lambda: not matching("sleep", "47001"), "the job to end")
        screen.type("exit 4\n")
        assert screen.wait() == 4


def test_nothing_of_much_output_is_lost(nsvisor: Program) -> None:
    with on_a_terminal(nsvisor, "--", "seq", "30000") as screen:
        assert screen.wait() == 0
        assert screen.shown.split() == [str(number) for number in range(1, 30001)]


def test_phases_and_a_failure_are_shown_as_lines(nsvisor: Program) -> None:
    with on_a_terminal(nsvisor, "--log-phases", "--", "no-such-command") as screen:
        assert screen.wait() == 127
        lines = screen.shown.split("\r\n")
        assert not any("\n" in line for line in lines)
        assert lines[0].startswith("clone ")
        assert any(line.startswith("cannot run: exec") for line in lines)


def test_a_terminal_that_is_closed_ends_it(nsvisor: Program) -> None:
    with on_a_terminal(nsvisor, "--", "sh", "-c", "echo up; sleep 47002") as screen:
        screen.expect("up\r\n")
        wait_until(lambda: matching("sleep", "47002"), "the command's child")
        os.close(screen.master)
        screen.master = -1
        screen.process.wait(10)
        assert matching("sleep", "47002") == []
