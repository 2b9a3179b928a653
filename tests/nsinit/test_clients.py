"""Who connects to the keeper and is no daemon: workers, launches and the next daemon do not notice."""

import os
import select
import time
from contextlib import suppress

import pytest

from supervisor.nsinit.reception import GREET_S, TURNED_AWAY
from supervisor.wire import MAX_MESSAGE_BYTES, PROTOCOL
from tests.e2e.daemons import wait_until
from tests.limits import limited, lower, lowest_free
from tests.nsinit.keepers import Keeper, close_all, has_ended
from tests.nsinit.listeners import listening_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, worker


def cpu_s(pid: int) -> float:
    """User and system time so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def nulls(keeper: Keeper) -> int:
    """How often it has /dev/null open."""
    return sum(one.endswith(" /dev/null") for one in keeper.descriptors())


def test_many_who_stay(who: Who, folder: Folder) -> None:
    """They are turned away, the oldest of them closed; the daemon launches meanwhile."""
    with listening_keeper(who, folder) as listening, listening.daemon() as daemon:
        daemon.settle()
        before = len(daemon.descriptors())
        others = [listening.connect() for _ in range(5 * TURNED_AWAY)]
        daemon.settle()
        assert len(daemon.descriptors()) <= before + TURNED_AWAY
        with launched(daemon, worker("exec sleep 60")) as sandbox:
            sandbox.go()
            sandbox.until_end()
        for other in others:
            other.disconnect()


@pytest.mark.parametrize(
    "message", [b"\0", b"\xff" * 1000, b"hello\0x", b"launch" + b"\0" * (MAX_MESSAGE_BYTES - 6), b"ack\0nobody"]
)
def test_what_they_say_and_bring(who: Who, folder: Folder, message: bytes) -> None:
    """While another is served nothing of it is obeyed, and no descriptor stays."""
    with listening_keeper(who, folder) as listening, listening.daemon() as daemon:
        daemon.settle()
        with launched(daemon, worker("exec sleep 60")) as sandbox:
            sandbox.go()
            sandbox.until_end()
            before = nulls(daemon)
            other = listening.connect()
            assert other.receive()[0] == ["busy", str(daemon.pid)]
            fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
            for _ in range(20):
                with suppress(BlockingIOError):
                    other.send_raw(message, fds)
            close_all(fds)
            other.disconnect()
            wait_until(lambda: nulls(daemon) == before, "its descriptors to be closed")
            daemon.settle()
            os.kill(sandbox.pid, 0)


def test_one_that_says_nothing_is_no_daemon(who: Who, folder: Folder) -> None:
    """It holds the place for a while; then the next daemon gets it."""
    with listening_keeper(who, folder) as listening:
        silent = listening.connect()
        with listening.daemon() as early:
            assert early.receive()[0] == ["busy", str(listening.keeper.pid)]
        time.sleep(GREET_S + 0.5)
        with listening.daemon() as daemon:
            daemon.settle()
        silent.disconnect()


def test_one_that_says_nothing_puts_no_end_off(who: Who, folder: Folder) -> None:
    """The keeper waits for a daemon, not for anybody."""
    with (
        listening_keeper(who, folder, adopt_timeout_s=2.0) as listening,
        launched(listening.keeper, worker("exec sleep 60")) as sandbox,
    ):
        sandbox.go()
        sandbox.until_end()
        listening.keeper.disconnect()
        silent = listening.connect()
        assert listening.keeper.process.wait(20) == 0
        assert has_ended(sandbox.pidfd)
        silent.disconnect()


def test_a_limit_of_open_files_below_what_it_has_open(who: Who, folder: Folder) -> None:
    """Somebody sets it while all goes on: nobody is lost, and without a daemon all are ended as ever."""
    with (
        listening_keeper(who, folder, adopt_timeout_s=0.1) as listening,
        launched(listening.keeper, worker("exec sleep 60")) as first,
        launched(listening.keeper, worker("exec sleep 60")) as second,
    ):
        keeper = listening.keeper
        for sandbox in (first, second):
            sandbox.go()
            sandbox.until_end()
        lower(who.account, keeper.pid, "nofile", 1)
        keeper.settle()
        keeper.disconnect()
        assert keeper.process.wait(20) == 0
        assert has_ended(first.pidfd)
        assert has_ended(second.pidfd)


def test_it_does_not_spin_where_there_is_no_descriptor_for_who_connects(who: Who, folder: Folder) -> None:
    with listening_keeper(who, folder) as listening:
        keeper: Keeper = listening.keeper
        wait_until(lambda: sum(" socket:" in one for one in keeper.descriptors()) == 1, "only its listener to be open")
        before = keeper.descriptors()
        room = lowest_free({int(one.split()[0]) for one in before})
        with limited(who.account, keeper.pid, "nofile", room):
            daemon = listening.connect()
            daemon.send("hello", PROTOCOL)
            used_s = cpu_s(keeper.pid)
            assert daemon.connection is not None
            assert not select.select([daemon.connection], [], [], 1.0)[0]  # it waits, and is not turned away
            assert cpu_s(keeper.pid) - used_s < 0.5
            assert len(keeper.descriptors()) == len(before)
        assert daemon.receive()[0][:3] == ["keeper", str(PROTOCOL), str(keeper.pid)]
        assert daemon.receive()[0] == ["end"]
        daemon.disconnect()
