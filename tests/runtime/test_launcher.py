import errno
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.runtime.child import Child, send_signal
from supervisor.runtime.fleet import FleetRuntime
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.launch_order import LaunchOrder
from supervisor.runtime.launcher import launch
from supervisor.runtime.setup_record import SetupRecord
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.records import PhaseRecord
from tests.accounts import Account
from tests.nsinit.people import acting_as
from tests.runtime.fleets import IDLE, Running, descriptors, fleet, kept_open, until


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let this process open so many descriptors more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = descriptors()
    free = [fd for fd in range(max(used) + count + 2) if fd not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class Launch:
    """One launch by hand."""

    def __init__(self, running: Running, name: str = "a", number: int = 100) -> None:
        self.running = running
        self.phases: list[PhaseRecord] = []
        self.children: list[Child] = []
        instance = running[name]
        self.order = LaunchOrder(
            plan=compile_plan(instance.worker, 0, running.services.facts),
            incarnation=number,
            stop=(signal.SIGTERM, 1.0),
            stdio=(running.services.null_fd,) * 3,
            keep=[running.services.null_fd] * 2,
            timeout_s=10.0,
            on_phase=self.phases.append,
            on_child=self.children.append,
        )

    async def run(self) -> tuple[SetupRecord, Child | None]:
        running = self.running
        keeper = await running.keepers.current()
        return await launch(self.order, keeper, running.services.facts, running.fleet.pids)


async def end(child: Child) -> None:
    send_signal(child.pidfd, signal.SIGKILL)
    await child.exited()
    await child.keeper.acknowledge(child.name)
    child.close()


TEXT = f"[worker.a]\n{IDLE}autostart = false\n"
JOINING = TEXT + f"[worker.b]\n{IDLE}network = {{ mode = 'worker:a' }}\nautostart = false\n"


async def test_each_phase_is_told_once_and_nothing_stays_open(tmp_path: Path) -> None:
    async with fleet(tmp_path, TEXT) as running:
        before = descriptors()
        one = Launch(running)
        record, child = await one.run()
        assert child is not None
        assert record.finished().outcome == "ok"
        assert [phase.phase for phase in one.phases] == [step.phase for step in one.order.plan.steps]
        assert descriptors() - before == {child.pidfd}
        await end(child)
        assert descriptors() == before


async def test_refused(tmp_path: Path) -> None:
    """A set-up that fails, a join that the keeper refuses, a worker to be joined that is down."""
    text = f"[worker.a]\n{IDLE}autostart = false\nrootfs = {{ kind = 'dir', path = '{tmp_path}/gone' }}\n"
    text += f"[worker.b]\n{IDLE}autostart = false\nnetwork = {{ mode = 'path:/proc/self/ns/uts' }}\n"
    text += f"[worker.c]\n{IDLE}autostart = false\nnetwork = {{ mode = 'worker:a' }}\n"
    os.mkfifo(tmp_path / "fifo")
    text += f"[worker.d]\n{IDLE}autostart = false\nnetwork = {{ mode = 'path:{tmp_path}/fifo' }}\n"
    async with fleet(tmp_path, text) as running:
        before = descriptors()
        for name, phase, number in (
            ("a", "rootfs.prepare", "ENOENT"),
            ("b", "ns.join", "EINVAL"),
            ("c", "ns.join", "ESRCH"),
            ("d", "ns.join", ""),
        ):
            record, child = await Launch(running, name).run()
            assert record.failure is not None
            assert record.failure.phase == phase
            assert number in (record.failure.errno, "")
            if child is not None:
                await end(child)
            assert kept_open(before) == []


@pytest.mark.parametrize("left", range(8))
async def test_descriptors_run_out(tmp_path: Path, left: int) -> None:
    """At socketpair, memfd_create, the reserve, or only when the pidfd comes: no leak, no exception, no orphan."""
    async with fleet(tmp_path, TEXT) as running:
        before = descriptors()
        one = Launch(running)
        with descriptors_left(left):
            record, child = await one.run()
        if left < 4:  # both ends of the channel, the plan, the reserve
            assert child is None
            assert record.failure is not None
            assert (record.failure.phase, record.failure.errno) == ("clone", "EMFILE")
        else:  # the reserve makes room for the pidfd where there is none
            assert child is not None
            assert record.failure is None
            await end(child)
        assert kept_open(before) == []


async def test_a_message_that_the_keeper_cannot_make_sense_of(tmp_path: Path) -> None:
    async with fleet(tmp_path, TEXT) as running:
        record, child = await Launch(running).run()
        assert child is not None
        with trio.fail_after(5):
            again, none = await Launch(running).run()  # of the same name
        assert none is None
        assert again.failure is not None
        assert again.failure.errno == "EPROTO"
        assert "held already" in str(again.failure.message)
        await end(child)
        assert record.failure is None


async def test_the_keeper_dies_during_a_launch(tmp_path: Path) -> None:
    async with fleet(tmp_path, TEXT) as running:
        before = descriptors()
        keeper = await running.keepers.current()
        os.kill(keeper.pid, signal.SIGSTOP)
        async with trio.open_nursery() as nursery:

            async def expect_death(number: int) -> None:
                with pytest.raises(KeeperGoneError):
                    await Launch(running, number=number).run()

            for number in range(3):
                nursery.start_soon(expect_death, number)
            await wait_all_tasks_blocked()
            os.kill(keeper.pid, signal.SIGKILL)
        assert kept_open(before) == []
        await until(lambda: running.keepers.pid != keeper.pid, "another keeper")


async def test_cancelled(tmp_path: Path) -> None:
    async with fleet(tmp_path, TEXT) as running:
        keeper = await running.keepers.current()
        before = descriptors()
        os.kill(keeper.pid, signal.SIGSTOP)
        with trio.move_on_after(0.05) as scope:
            await Launch(running).run()
        assert scope.cancelled_caught
        os.kill(keeper.pid, signal.SIGCONT)
        await until(lambda: "a#100" in keeper._answers, "the answer that nobody waits for")
        pid, pidfd = keeper._answers.pop("a#100")  # type: ignore[misc]
        assert pid
        os.close(pidfd)
        with trio.fail_after(5):
            await keeper.exit_status("a#100")  # its channel was closed
        await keeper.acknowledge("a#100")
        assert kept_open(before) == []


async def test_the_set_up_time_out_names_the_phase(tmp_path: Path) -> None:
    async with fleet(tmp_path, TEXT) as running:
        one = Launch(running)
        one.order.timeout_s = 0.0
        record, child = await one.run()
        assert child is not None
        assert record.finished().outcome == "timeout"
        assert one.phases[-1] is record.failure
        assert record.failure is not None
        assert record.failure.outcome == "pending"
        assert record.failure.phase == one.order.plan.steps[len(one.phases) - 1].phase
        status = await child.exited()
        assert status is not None
        assert status.signal == "SIGKILL"
        await end(child)


async def test_another_users_process_is_not_signalled(unprivileged: Account) -> None:
    pidfd = os.pidfd_open(1)
    with acting_as(unprivileged):
        assert not send_signal(pidfd, 0)
    os.close(pidfd)


async def test_a_sandbox_that_is_being_built_cannot_be_joined(tmp_path: Path) -> None:
    async with fleet(tmp_path, JOINING) as running:
        await running.fleet.start(["a"])
        instance = running["a"]
        await until(lambda: instance.incarnation is not None and instance.incarnation.child is not None, "a child")
        assert instance.incarnation is not None
        instance.incarnation.exec_at = None  # as it is until the command executes
        record, child = await Launch(running, "b").run()
        assert child is None
        assert record.failure is not None
        assert (record.failure.phase, record.failure.errno) == ("ns.join", "ESRCH")
        instance.incarnation.exec_at = time.monotonic()
        await running.wait_state("a", "ready")
        assert FleetRuntime.pids(running.fleet, "a")[0] == running.pid("a")
        record, child = await Launch(running, "b").run()
        assert child is not None
        assert record.failure is None
        await end(child)
        with pytest.raises(ProcessLookupError) as error:
            running.fleet.pids("b")
        assert error.value.errno == errno.ESRCH
