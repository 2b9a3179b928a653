"""The process cloned ahead of the next launch."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.spec.model import Namespaces, Security
from tests.nsinit.keepers import Keeper, children, wait_readable
from tests.nsinit.listeners import Listening, listening_keeper
from tests.nsinit.people import Who
from tests.nsinit.probes import census
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import launched, output_of, run, worker


@pytest.fixture
def listening(who: Who, folder: Folder) -> Iterator[Listening]:
    with listening_keeper(who, folder) as listening:
        yield listening


@pytest.fixture
def daemon(listening: Listening) -> Iterator[Keeper]:
    with listening.daemon() as daemon:
        yield daemon


def spare_of(daemon: Keeper) -> int:
    """Its pid, as soon as there is one."""
    while True:
        for pid in children(daemon.pid):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nsinit: spare"):
                return pid
        os.sched_yield()


def test_the_next_launch_takes_it(daemon: Keeper) -> None:
    for _ in range(3):
        spare = spare_of(daemon)
        with launched(daemon, worker("echo here")) as sandbox:
            assert sandbox.pid == spare
            sandbox.go()
            sandbox.until_end()
            assert sandbox.frames[0][7] == "done ahead"
            assert sandbox.output() == "here\n"
            assert sandbox.wait()[0] == 0


def test_what_it_becomes_is_like_any_other(daemon: Keeper) -> None:
    spare_of(daemon)
    ahead, fresh = (census(daemon, security=Security(seccomp="off")) for _ in range(2))
    for part in ("environ", "ids", "limits", "death_signal", "terminal"):
        assert ahead[part] == fresh[part]
    assert ahead["fds"].keys() == fresh["fds"].keys() == {"0", "1", "2"}
    assert ahead["keyring"] != fresh["keyring"]


def test_it_holds_nothing_of_a_worker(daemon: Keeper) -> None:
    with launched(daemon, worker("echo up; exec sleep 60"), hold=True) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        spare = spare_of(daemon)
        assert len(os.listdir(f"/proc/{spare}/fd")) == 6  # 0-2, its end of the pair, its report, the keeper's pidfd


def test_a_launch_of_another_kind_leaves_it(daemon: Keeper) -> None:
    spare = spare_of(daemon)
    assert output_of(daemon, worker("echo here", namespaces=Namespaces(pid=False, mount=False))) == "here"
    assert spare_of(daemon) == spare


def test_one_that_died_is_not_missed(daemon: Keeper) -> None:
    spare = spare_of(daemon)
    pidfd = os.pidfd_open(spare)
    os.kill(spare, signal.SIGKILL)
    wait_readable(pidfd)
    os.close(pidfd)
    assert run(daemon, worker("exit 5")).status == 5 << 8
    daemon.settle()
    assert spare not in children(daemon.pid)


def test_one_that_stopped_is_ended(daemon: Keeper) -> None:
    """It cannot say that it is taken; the launch goes on once it is continued."""
    spare = spare_of(daemon)
    os.kill(spare, signal.SIGSTOP)
    with launched(daemon, worker("exit 5")) as sandbox:
        assert sandbox.pid == spare
        sandbox.signal(signal.SIGCONT)
        sandbox.go()
        sandbox.until_end()
        assert sandbox.wait()[0] == 5 << 8


@pytest.mark.parametrize("how", ["killed", "left"])
def test_it_goes_with_the_keeper(daemon: Keeper, how: str) -> None:
    pidfd = os.pidfd_open(spare_of(daemon))
    if how == "killed":
        daemon.kill()
    else:
        daemon.send("leave")
        assert daemon.process.wait(20) == 0
    wait_readable(pidfd)
    os.close(pidfd)


def test_a_keeper_of_one_launch_needs_none(own_keeper: Keeper) -> None:
    with launched(own_keeper, worker("echo up; exec sleep 60")) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        assert children(own_keeper.pid) == [sandbox.pid]
