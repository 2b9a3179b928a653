"""A worker that outlives its keeper, in the hands of the next one; and rules that change while a keeper runs."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from supervisor.kernel import pidfd_info
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.model import Limits
from tests.nsinit.keepers import Keeper, close_all, has_ended, running_keeper, wait_readable
from tests.nsinit.people import Who
from tests.nsinit.sandboxes import Sandbox, launched, worker

READS = "trap 'exit 3' USR1; echo up; while :; do sleep 0.02; done"
IGNORES_TERM = "trap '' TERM; echo up; while :; do sleep 60; done"


def released(who: Who, command: str, *, own_process: bool) -> Plan:
    """own_process: a PID 1 that forks before the workload is made, else one that spawns it in the end."""
    limits = Limits(core=0) if own_process else Limits()
    plan = compile_plan(worker(command, limits=limits), 0, replace(who.facts, outlives_keeper=True))
    assert plan.is_released
    assert ("init.fork" in [step.phase for step in plan.steps]) is own_process
    return plan


def up(sandbox: Sandbox) -> None:
    sandbox.go()
    sandbox.until_end()
    assert sandbox.failure is None
    assert sandbox.line() == "up"


@contextmanager
def orphan(who: Who, *, own_process: bool) -> Iterator[tuple[Keeper, Sandbox]]:
    """One whose keeper was killed, and the next keeper."""
    with (
        running_keeper(who) as first,
        launched(first, released(who, READS, own_process=own_process), hold=True) as sandbox,
    ):
        up(sandbox)
        first.kill()
        assert not has_ended(sandbox.pidfd)
        with running_keeper(who) as second:
            yield second, sandbox


def adopt(keeper: Keeper, sandbox: Sandbox) -> None:
    fds = [sandbox.pidfd, sandbox.stdout, sandbox.stderr]
    keeper.send("adopt", sandbox.name, sandbox.pid, signal.SIGTERM, 0, "pidfd keep keep", fds=fds)
    assert keeper.receive()[0] == ["adopted", sandbox.name]


@pytest.mark.parametrize("own_process", [True, False])
def test_the_next_keeper_holds_it_and_tells_its_exit(who: Who, own_process: bool) -> None:
    with orphan(who, own_process=own_process) as (keeper, sandbox):
        adopt(keeper, sandbox)
        ((tokens, fds),) = keeper.hello()[1]
        assert tokens == ["held", sandbox.name, str(sandbox.pid), "RUNNING", "0", "0", "0", "0", "0"]
        assert len(fds) == 3
        close_all(fds)
        sandbox.signal(signal.SIGUSR1)
        wait_readable(sandbox.pidfd)  # it has ended, and waits for us to reap it: nobody can know how it ended yet
        assert pidfd_info.exit_status(sandbox.pidfd) is None
        ((tokens, fds),) = keeper.hello()[1]
        assert tokens[3] == "RUNNING"
        close_all(fds)
        os.waitpid(sandbox.pid, 0)
        assert keeper.expect("exited")[0] == ["exited", sandbox.name, str(3 << 8), "0", "0", "0"]
        keeper.send("ack", sandbox.name)
        assert keeper.hello()[1] == []


def test_it_is_forgotten_by_who_adopted_it_for_nothing(who: Who) -> None:
    with orphan(who, own_process=False) as (keeper, sandbox):
        keeper.settle()
        before = keeper.descriptors()
        adopt(keeper, sandbox)
        keeper.send("forget", sandbox.name)
        keeper.settle()
        assert len(keeper.descriptors()) == len(before)
        sandbox.signal(signal.SIGKILL)
        os.waitpid(sandbox.pid, 0)
        assert keeper.is_well()


def test_without_a_daemon_it_is_stopped_as_all_are(who: Who) -> None:
    with orphan(who, own_process=True) as (keeper, sandbox):
        adopt(keeper, sandbox)
        keeper.disconnect()
        assert keeper.process.wait(20) == 0
        assert os.waitpid(sandbox.pid, 0)[0] == sandbox.pid


def test_what_is_not_released_dies_with_its_keeper(who: Who) -> None:
    with running_keeper(who) as keeper, launched(keeper, worker(READS)) as sandbox:
        up(sandbox)
        keeper.kill()
        wait_readable(sandbox.pidfd)
        os.waitpid(sandbox.pid, 0)


def test_one_that_cannot_be_adopted_is_refused(who: Who) -> None:
    with running_keeper(who) as keeper, launched(keeper, worker(READS), hold=True) as sandbox:
        up(sandbox)
        keeper.send("adopt", sandbox.name, sandbox.pid, 15, 0, "pidfd", fds=[sandbox.pidfd])
        assert keeper.receive()[0][0] == "error"  # held already
        keeper.send("adopt", "other#1", sandbox.pid, 15, 0, "pidfd keep keep", fds=[sandbox.pidfd])
        assert keeper.receive()[0][:2] == ["refused", "other#1"]  # recvmsg dropped what found no room
        keeper.settle()


def test_a_changed_rule_and_a_changed_timeout_are_obeyed(who: Who) -> None:
    with (
        running_keeper(who, adopt_timeout_s=600) as keeper,
        launched(keeper, worker(IGNORES_TERM), stop=(signal.SIGTERM, 600_000)) as sandbox,
    ):
        up(sandbox)
        keeper.send("rule", sandbox.name, signal.SIGKILL, 0)
        keeper.send("rule", "nobody#1", signal.SIGKILL, 0)  # it has ended meanwhile
        keeper.send("timeout", "0.05")
        keeper.settle()
        keeper.disconnect()
        assert keeper.process.wait(20) == 0
        assert has_ended(sandbox.pidfd)


@pytest.mark.parametrize("arguments", [("0", "0"), ("15", "-1"), ("x", "0"), ("999", "0")])
def test_no_rule_to_stop_by(who: Who, arguments: tuple[str, str]) -> None:
    with running_keeper(who) as keeper:
        keeper.send("rule", "box#1", *arguments)
        assert keeper.receive()[0][0] == "error"
        keeper.settle()
