"""`go` comes first: whoever dies around it, no sandbox stays that no daemon knows."""

import errno
import os
import signal
from collections.abc import Callable

import pytest

from supervisor.spec.model import Namespaces
from tests.accounts import needs_a_range
from tests.nsinit.keepers import Keeper, children, has_ended, wait_readable
from tests.nsinit.sandboxes import Sandbox, launched, run, worker
from tests.nsinit.test_ids import subordinate

SLEEP = worker("exec sleep 60")


def to_be_mapped(keeper: Keeper) -> dict[str, tuple[str, ...]]:
    """Maps that the sandbox waits for in `id.map`."""
    needs_a_range(keeper.who.account)
    facts = keeper.who.facts
    return {"uid_map": (f"0:{facts.uid}:1",), "gid_map": (f"0:{facts.gid}:1",)}


def test_no_phase_before_go(keeper: Keeper) -> None:
    with launched(keeper, worker("echo ran")) as sandbox:
        keeper.settle()  # it had time; nothing tells that it came
        assert os.readlink(f"/proc/{sandbox.pid}/ns/uts") == os.readlink("/proc/self/ns/uts")
        sandbox.channel.setblocking(False)
        with pytest.raises(BlockingIOError):
            sandbox.channel.recv(1)
        sandbox.channel.setblocking(True)
        sandbox.go()
        sandbox.until_end()
        assert sandbox.output() == "ran\n"
        assert [tokens[1] for tokens in sandbox.frames] == [str(at) for at in range(len(sandbox.plan.steps))]


def test_the_end_of_the_channel_before_go_ends_the_child(keeper: Keeper) -> None:
    with launched(keeper, worker("echo ran")) as sandbox:
        sandbox.channel.close()
        sandbox.wait()
        assert sandbox.output() == ""


def test_a_word_that_is_not_go_ends_the_child(keeper: Keeper) -> None:
    with launched(keeper, worker("echo ran")) as sandbox:
        sandbox.channel.send(b"come")
        sandbox.wait()
        assert sandbox.output() == ""


def test_the_end_of_the_channel_during_set_up_ends_the_child(keeper: Keeper) -> None:
    with launched(keeper, worker("echo ran", **to_be_mapped(keeper))) as sandbox:
        sandbox.go()
        sandbox.until_need()
        sandbox.channel.close()
        sandbox.wait()
        assert sandbox.output() == ""


@pytest.mark.parametrize("own_pid_namespace", [True, False])
def test_the_end_of_the_channel_below_pid_1_ends_the_sandbox(keeper: Keeper, own_pid_namespace: bool) -> None:
    spaces = Namespaces() if own_pid_namespace else Namespaces(pid=False, mount=False)
    with launched(keeper, worker("echo ran", namespaces=spaces), terminal=True) as sandbox:
        sandbox.go()
        _, fds = sandbox.until_need()
        for fd in fds:
            os.close(fd)
        sandbox.channel.close()
        sandbox.wait()
        assert sandbox.output() == ""


def test_the_keeper_dies_before_go(own_keeper: Keeper) -> None:
    with launched(own_keeper, worker("echo ran")) as sandbox:
        own_keeper.kill()
        sandbox.go()
        sandbox.until_end()
        assert sandbox.failure is not None
        assert (sandbox.failure.phase, sandbox.failure.number) == ("parent.bind", errno.ESRCH)
        wait_readable(sandbox.pidfd)
        assert sandbox.output() == ""


def test_keeper_and_daemon_die_before_go(own_keeper: Keeper) -> None:
    with launched(own_keeper, worker("echo ran")) as sandbox:
        own_keeper.kill()
        sandbox.channel.close()
        wait_readable(sandbox.pidfd)
        assert sandbox.output() == ""


def in_id_map(sandbox: Sandbox) -> None:
    sandbox.until_need()


def below_pid_1(sandbox: Sandbox) -> None:
    _, fds = sandbox.until_need()
    for fd in fds:
        os.close(fd)


def handed_over(sandbox: Sandbox) -> None:
    sandbox.until_end()


@pytest.mark.parametrize("reach", [in_id_map, below_pid_1, handed_over])
def test_the_keeper_dies_later(own_keeper: Keeper, reach: Callable[[Sandbox], None]) -> None:
    maps = to_be_mapped(own_keeper) if reach is in_id_map else {}
    with launched(own_keeper, worker("exec sleep 60", **maps), terminal=reach is below_pid_1) as sandbox:
        sandbox.go()
        reach(sandbox)
        own_keeper.kill()
        wait_readable(sandbox.pidfd)
        assert sandbox.output() == ""  # nobody is left that could write


def test_the_keeper_dies_after_the_ids_changed(own_keeper: Keeper) -> None:
    """Each change of ids disarms the death signal."""
    ranges = (f"0:{subordinate(own_keeper)}:10",)
    box = worker("id -u; exec sleep 60", uid_map=ranges, gid_map=ranges, user=7)
    with launched(own_keeper, box) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.failure is None
        assert sandbox.line() == "7"
        own_keeper.kill()
        wait_readable(sandbox.pidfd)
        assert sandbox.output() == ""


def test_pid_1_killed_while_its_workload_is_set_up(keeper: Keeper) -> None:
    """The workload still holds the pipe for PID 1's report, with nothing in it."""
    box = worker("exec sleep 60", namespaces=Namespaces(pid=False, mount=False))
    for _ in range(5):
        with launched(keeper, box, terminal=True) as sandbox:
            sandbox.go()
            below_pid_1(sandbox)
            (workload,) = children(sandbox.pid)
            pidfd = os.pidfd_open(workload)
            sandbox.signal(signal.SIGKILL)
            assert sandbox.wait()[0] == signal.SIGKILL
            wait_readable(pidfd)
            os.close(pidfd)


def test_the_channel_is_nobody_elses(keeper: Keeper) -> None:
    """A worker that lives on does not keep another's channel open."""
    with launched(keeper, SLEEP) as other, launched(keeper, worker("exit 3")) as sandbox:
        other.go()
        other.until_end()
        sandbox.go()
        sandbox.until_end()  # the end comes
        assert not has_ended(other.pidfd)
        assert sandbox.wait()[0] == 3 << 8
    assert run(keeper, worker("exit 0")).status == 0
