"""The keeper outlives its daemon: what it holds, for whom, and for how long."""

import os
import signal
import time

import pytest

from supervisor.spec.model import Namespaces
from tests.nsinit.keepers import Gone, Keeper, close_all, has_ended, running_keeper, wait_readable
from tests.nsinit.listeners import listening_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import Sandbox, launched, output_of, read_all, run, worker

ECHO = "while read line; do echo got $line; done; exit 6"
IGNORES_TERM = "trap '' TERM; echo up; while :; do sleep 60; done"
GRACE_MS = 300


def started(sandbox: Sandbox) -> None:
    sandbox.go()
    sandbox.until_end()
    assert sandbox.failure is None


def test_a_worker_is_handed_to_the_next_daemon(who: Who, folder: Folder) -> None:
    """Its pidfd and the reading ends of its pipes: nothing that it wrote in between is lost, and no status."""
    reader, writer = os.pipe()
    with listening_keeper(who, folder) as listening:
        first = listening.connect()
        with launched(first, worker(ECHO), stdin=reader, hold=True) as sandbox:
            os.close(reader)
            started(sandbox)
            os.write(writer, b"one\n")
            assert sandbox.line() == "got one"
            first.disconnect()
            os.write(writer, b"two\n")
            with listening.daemon() as second:
                (first_words, state), ((tokens, fds),) = second.hello()
                assert (first_words[2:4], state) == ([str(second.pid), "1"], [])
                assert tokens[:4] == ["held", sandbox.name, str(sandbox.pid), "RUNNING"]
                pidfd, out, err = fds
                assert not has_ended(pidfd)
                os.write(writer, b"three\n")
                os.close(writer)
                wait_readable(pidfd)
                assert second.expect("exited")[0][:3] == ["exited", sandbox.name, str(6 << 8)]
                assert read_all(out) == "got two\ngot three\n"
                assert read_all(err) == ""
                close_all(fds)
                second.send("ack", sandbox.name)
                assert second.hello()[1] == []


def test_an_exit_is_kept_until_it_is_acknowledged(who: Who, folder: Folder) -> None:
    reader, writer = os.pipe()
    with listening_keeper(who, folder) as listening:
        first = listening.connect()
        with launched(first, worker("read x; exit 9", name="db"), stdin=reader, hold=True) as sandbox:
            os.close(reader)
            started(sandbox)
            first.disconnect()
            os.close(writer)
            wait_readable(sandbox.pidfd)
            for acknowledged in (False, False, True):
                with listening.daemon() as daemon:
                    ((tokens, fds),) = daemon.hello()[1]
                    assert (tokens[:3], len(fds)) == (["held", sandbox.name, str(sandbox.pid)], 3)
                    # At first its end may not have been dealt with yet.
                    status = tokens[4] if tokens[3] == "EXITED" else daemon.expect("exited")[0][2]
                    assert status == str(9 << 8)
                    close_all(fds)
                    if acknowledged:
                        daemon.send("ack", sandbox.name)
                        assert daemon.hello()[1] == []


def test_the_state_is_held(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder) as listening:
        for number in range(3):
            with listening.daemon() as daemon:
                (_, state), _ = daemon.hello()
                if number:
                    assert os.pread(state[0], 100, 0) == b"state %d" % number
                    close_all(state)
                memfd = os.memfd_create("state")
                os.write(memfd, b"state %d" % (number + 1))
                daemon.send("state", fds=[memfd])
                os.close(memfd)
                close_all(daemon.hello()[0][1])
                assert sum("memfd:state" in line for line in daemon.descriptors()) == 1
        with listening.daemon() as daemon:
            daemon.send("state")  # without a descriptor: the old one stays
            assert daemon.receive()[0][0] == "error"
            (_, state), _ = daemon.hello()
            assert os.pread(state[0], 100, 0) == b"state 3"
            close_all(state)


def test_a_launch_that_its_daemon_left_behind_ends(who: Who, folder: Folder) -> None:
    """Between the fork and the end of the set-up: the next daemon is told how it ended, and no second copy lives."""
    with listening_keeper(who, folder) as listening:
        first = listening.connect()
        with launched(first, worker("echo ran"), terminal=True) as sandbox:
            sandbox.go()
            _, fds = sandbox.until_need()
            close_all(fds)
            first.disconnect()
            sandbox.channel.close()
            wait_readable(sandbox.pidfd)
            assert sandbox.output() == ""
            with listening.daemon() as second:
                _, ((tokens, held),) = second.hello()
                close_all(held)
                assert tokens[1] == sandbox.name


@pytest.mark.parametrize("own_pid_namespace", [True, False])
def test_without_a_next_daemon_workers_are_stopped_by_their_own_rules(who: Who, own_pid_namespace: bool) -> None:
    spaces = Namespaces() if own_pid_namespace else Namespaces(pid=False)
    with running_keeper(who, adopt_timeout_s=0) as daemon:
        polite = worker("trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.01; done", name="polite")
        rude = worker(IGNORES_TERM, name="rude", namespaces=spaces)
        with (
            launched(daemon, polite, stop=(signal.SIGINT, 60_000)) as one,
            launched(daemon, rude, stop=(signal.SIGTERM, GRACE_MS)) as other,
        ):
            for sandbox in (one, other):
                started(sandbox)
                assert sandbox.line() == "up"
            begun = time.monotonic()
            daemon.disconnect()
            assert daemon.process.wait(20) == 0
            assert GRACE_MS / 1000 <= time.monotonic() - begun < 10
            assert (has_ended(one.pidfd), has_ended(other.pidfd)) == (True, True)
            assert one.output() == "bye\n"
            assert other.output() == ""  # its sleep is gone, too


def test_a_daemon_that_comes_in_time_stops_the_clock(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder, adopt_timeout_s=1.5) as listening:
        listening.keeper.settle()
        listening.keeper.disconnect()
        with listening.daemon() as daemon:
            daemon.settle()
            assert output_of(daemon, worker("sleep 1.8; echo here")) == "here"
        assert listening.keeper.process.wait(20) == 0


@pytest.mark.parametrize("longest_s", [1e9, float("inf")])
def test_waiting_for_longer_than_poll_can(who: Who, folder: Folder, longest_s: float) -> None:
    """poll(2) takes milliseconds as an int: 24 days."""
    with listening_keeper(who, folder, adopt_timeout_s=longest_s) as listening:
        for _ in range(2):
            with listening.daemon() as daemon:
                daemon.settle()


def test_a_grace_of_years(who: Who) -> None:
    slow = worker("trap 'sleep 0.1; exit 3' TERM; echo up; while :; do sleep 0.01; done")
    with (
        running_keeper(who, adopt_timeout_s=0) as daemon,
        launched(daemon, slow, stop=(signal.SIGTERM, 10**12)) as sandbox,
    ):
        started(sandbox)
        assert sandbox.line() == "up"
        daemon.disconnect()
        assert daemon.process.wait(20) == 0
        assert has_ended(sandbox.pidfd)


def test_leave_waits_for_the_last_worker(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder) as listening, listening.daemon() as daemon:
        with launched(daemon, worker("echo up; exec sleep 60")) as sandbox:
            started(sandbox)
            assert sandbox.line() == "up"
            daemon.send("leave")
            assert daemon.drain("still here") == []
            sandbox.signal(signal.SIGKILL)
            sandbox.wait()  # acknowledges
            with pytest.raises(Gone):
                daemon.receive()
        assert listening.keeper.process.wait(20) == 0


def test_leave_at_once_where_there_is_none(own_keeper: Keeper) -> None:
    assert run(own_keeper, worker("exit 0")).status == 0
    own_keeper.send("leave")
    with pytest.raises(Gone):
        own_keeper.receive()
    assert own_keeper.process.wait(20) == 0


def test_leave_is_taken_back_by_the_next_daemon(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder) as listening:
        first = listening.connect()
        with launched(first, worker("echo up; exec sleep 60")) as sandbox:
            started(sandbox)
            first.send("leave")
            first.disconnect()
            with listening.daemon() as second:
                ((_, fds),) = second.hello()[1]
                close_all(fds)
                sandbox.keeper = second
                sandbox.signal(signal.SIGKILL)
                sandbox.wait()
                assert output_of(second, worker("echo more")) == "more"


def test_a_closed_pipe_does_not_kill_the_worker(who: Who, folder: Folder) -> None:
    """The daemon's reading end goes with the daemon; the keeper's stays."""
    reader, writer = os.pipe()
    with listening_keeper(who, folder) as listening:
        daemon = listening.connect()
        with launched(daemon, worker(ECHO), stdin=reader, hold=True) as sandbox:
            os.close(reader)
            started(sandbox)
            daemon.disconnect()
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, sandbox.stdout)
            os.close(null)
            os.write(writer, b"x\n")
            os.close(writer)
            with listening.daemon() as second:
                ((tokens, fds),) = second.hello()[1]
                status = tokens[4] if tokens[3] == "EXITED" else second.expect("exited")[0][2]
                assert status == str(6 << 8)
                assert read_all(fds[1]) == "got x\n"
                close_all(fds)
