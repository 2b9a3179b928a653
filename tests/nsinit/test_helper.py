"""`spawn`: a program of the host's beside a worker, in the keeper's hands."""

import os
import select
import signal

import pytest

from tests.nsinit.keepers import PATIENCE_S, Keeper, Message, close_all, has_ended, wait_readable
from tests.nsinit.listeners import listening_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import Sandbox, expect_answer, launched, worker

SLEEP = worker("exec sleep 600")
TELL = """echo $$ $PPID; cut -d' ' -f6 /proc/self/stat; grep SigBlk /proc/self/status; env; ls /proc/self/fd
cat <&0; echo out; exec sleep 600"""


class Spawned:
    """The answer, and the other ends of its descriptors."""

    def __init__(self, keeper: Keeper, name: str, *argv: str) -> None:
        stdin, writer = os.pipe()
        self.log, stderr = os.pipe()
        os.write(writer, b"given\n")
        os.close(writer)
        keeper.send("spawn", name, *argv, fds=[stdin, stderr, stderr, self.log, self.log])
        close_all([stdin, stderr])
        self.tokens, self.fds = expect_answer(keeper, name)
        self.name = name

    @property
    def pidfd(self) -> int:
        return self.fds[0]

    def until(self, last: bytes) -> list[str]:
        """The lines up to this one."""
        said = b""
        while not said.endswith(last + b"\n"):
            chunk = os.read(self.log, 4096)
            assert chunk, said
            said += chunk
        return said.decode().splitlines()

    def forget(self, keeper: Keeper) -> Message:
        """Wait for its exit record, and acknowledge it."""
        message = keeper.expect("exited", self.name)
        keeper.send("ack", self.name)
        close_all([*self.fds, self.log])
        return message


def beside(sandbox: Sandbox, *argv: str) -> Spawned:
    sandbox.go()
    sandbox.until_end()
    return Spawned(sandbox.keeper, f"{sandbox.name}/helper", *argv)


def test_it_runs_with_what_it_was_given_and_nothing_else(keeper: Keeper) -> None:
    with launched(keeper, SLEEP) as sandbox:
        helper = beside(sandbox, "/bin/sh", "-c", TELL)
        ids, session, mask, *rest = helper.until(b"out")
        pid = int(helper.tokens[2])
        assert ids == f"{pid} {keeper.pid}"
        assert int(session) == pid
        assert mask.split() == ["SigBlk:", "0" * 16]
        names = {line.partition("=")[0] for line in rest if "=" in line}
        assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "LANG"}
        assert [line for line in rest if line.isdigit()] == ["0", "1", "2", "3"]  # the last is ls's own
        assert "given" in rest
        signal.pidfd_send_signal(helper.pidfd, signal.SIGTERM)
        (_, _, status, *_), _ = helper.forget(keeper)
        assert int(status) == signal.SIGTERM


def test_it_ends_with_the_worker(keeper: Keeper) -> None:
    with launched(keeper, SLEEP) as sandbox:
        helper = beside(sandbox, "/bin/sleep", "600")
        sandbox.signal(signal.SIGKILL)
        sandbox.wait()
        (_, _, status, *_), _ = helper.forget(keeper)
        assert int(status) == signal.SIGKILL


def test_its_own_end_leaves_the_worker_alone(keeper: Keeper) -> None:
    with launched(keeper, SLEEP) as sandbox:
        helper = beside(sandbox, "/bin/sh", "-c", "exit 3")
        (_, _, status, *_), _ = helper.forget(keeper)
        assert os.waitstatus_to_exitcode(int(status)) == 3
        assert not has_ended(sandbox.pidfd)


def test_it_dies_with_the_keeper(own_keeper: Keeper) -> None:
    with launched(own_keeper, SLEEP) as sandbox:
        helper = beside(sandbox, "/bin/sleep", "600")
        own_keeper.kill()
        wait_readable(helper.pidfd)
        close_all([*helper.fds, helper.log])


def test_what_cannot_be_executed_is_refused(keeper: Keeper) -> None:
    with launched(keeper, SLEEP) as sandbox:
        helper = beside(sandbox, "/nonexistent/pasta")
        verb, _, _, _, number, syscall, text = helper.tokens
        assert (verb, int(number), syscall) == ("refused", 2, "execve")
        assert text.startswith("/nonexistent/pasta: ")
        close_all([helper.log])


@pytest.mark.parametrize("name", ["nobody#1/helper", "web#1", "helper"])
def test_it_needs_a_worker_that_lives(keeper: Keeper, name: str) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    keeper.send("spawn", name, "/bin/sleep", "600", fds=[null] * 5)
    os.close(null)
    tokens, _ = keeper.receive()
    assert tokens[0] == "error"
    assert "beside no worker that lives" in tokens[1]


def test_the_next_daemon_is_given_it(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder) as listening:
        first = listening.connect()
        with launched(first, SLEEP, hold=True) as sandbox:
            helper = beside(sandbox, "/bin/sh", "-c", "echo before; sleep 0.1; echo after; exec sleep 600")
            first.disconnect()
            close_all([*helper.fds, helper.log])
            with listening.daemon() as second:
                _, held = second.hello()
                (tokens, fds) = next(message for message in held if message[0][1] == helper.name)
                assert tokens[3] == "RUNNING"
                pidfd, log, _ = fds
                said = b""
                while b"after\n" not in said:
                    select.select([log], [], [], PATIENCE_S)
                    said += os.read(log, 100)
                assert said == b"before\nafter\n"
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                second.expect("exited", helper.name)
                for _, several in held:
                    close_all(several)
