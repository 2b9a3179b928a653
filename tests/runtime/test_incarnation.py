import os
import resource
import signal
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.runtime.fleets import IDLE, descriptors, fleet, kept_open, links, until


async def test_a_hundred_starts_and_stops_leak_nothing(tmp_path: Path) -> None:
    async with fleet(
        tmp_path, f"[worker.a]\n{IDLE}instances = 4\ninit = false\nstop = {{ signal = 'SIGKILL' }}\n"
    ) as running:
        await running.fleet.wait([], "ready", 10)
        before, tasks = descriptors(), trio.lowlevel.current_statistics().tasks_living
        kept = len(os.listdir(f"/proc/{running.keepers.pid}/fd"))
        for _ in range(25):
            await running.fleet.restart([])
            assert await running.fleet.wait([], "ready", 10)
        assert {one.status.incarnation for one in running.fleet.instances.values()} == {26}
        await until(lambda: trio.lowlevel.current_statistics().tasks_living == tasks, "tasks to end")
        assert len(descriptors()) == len(before), links(descriptors() - before)
        await until(lambda: abs(len(os.listdir(f"/proc/{running.keepers.pid}/fd")) - kept) <= 3, "the keeper to forget")
        assert running.services.slots.borrowed_tokens == 0
        await running.fleet.stop([])
        assert await running.fleet.wait([], "stopped", 10)


async def test_a_slot_is_given_back_once_whatever_happens(tmp_path: Path) -> None:
    """Success, a failed set-up, a plan that cannot be made; one at a time."""
    text = (
        "[supervisor]\nstart_concurrency = 1\n[defaults.restart]\npolicy = 'never'\n"
        f"[worker.good]\n{IDLE}\n[worker.bad]\n{IDLE}rootfs = {{ kind = 'dir', path = '/nowhere' }}\n"
        f"[worker.ids]\n{IDLE}user = 'nobody'\n[worker.last]\n{IDLE}"
    )
    async with fleet(tmp_path, text) as running:
        await running.wait_state("last", "ready")
        await running.wait_state("bad", "failed")
        await running.wait_state("ids", "failed")
        assert running["bad"].exits[-1].phase == "rootfs.prepare"
        assert (running["ids"].exits[-1].phase, running["ids"].exits[-1].errno) == ("id.map", "EINVAL")
        await until(lambda: running.services.slots.borrowed_tokens == 0, "slots to be given back")


async def test_stopped_while_it_waits_for_a_slot(tmp_path: Path) -> None:
    text = f"[supervisor]\nstart_concurrency = 1\n[worker.a]\n{IDLE}instances = 5\nautostart = false\n"
    async with fleet(tmp_path, text) as running:
        slots = running.services.slots
        await slots.acquire_on_behalf_of("us")
        await running.fleet.start([])
        await wait_all_tasks_blocked()
        assert slots.waiting == 5
        await running.fleet.stop(["a-1", "a-2"])
        await running.wait_state("a-1", "stopped")
        await running.wait_state("a-2", "stopped")
        assert running["a-1"].exits[-1].cause == "interrupted"
        assert running["a-1"].pid is None
        await running.fleet.start(["a-2"])
        await running.fleet.stop(["a-2"])  # before its task ran at all
        slots.release_on_behalf_of("us")
        for name in ("a-0", "a-3", "a-4"):
            await running.wait_state(name, "ready")
        await running.wait_state("a-2", "stopped")
        assert slots.borrowed_tokens == 0


async def test_killed_before_the_child_is_known(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}autostart = false\n") as running:
        before = descriptors()
        os.kill(running.keepers.pid, signal.SIGSTOP)
        await running.fleet.start([])
        await wait_all_tasks_blocked()
        await running.fleet.stop([])
        assert running.state_of("a") == "stopping"
        os.kill(running.keepers.pid, signal.SIGCONT)
        await running.wait_state("a", "stopped")
        assert running["a"].exits[-1].requested_by == "operator"
        await until(lambda: not kept_open(before), "all to be closed")


async def test_pipes_run_out(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}restart = {{ delay = '0.05s' }}\nautostart = false\n") as running:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
        try:
            await running.fleet.start([])
            await running.wait_event("worker.backoff")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert (running["a"].exits[0].phase, running["a"].exits[0].errno) == ("clone", "EMFILE")
        await running.wait_state("a", "ready")


async def test_stderr_of_an_earlier_incarnation_does_not_explain_a_later_failure(tmp_path: Path) -> None:
    text = "[worker.a]\ncommand = ['sh', '-c', 'echo it hurts >&2; exec sleep 1000']\n"
    async with fleet(tmp_path, text) as running:
        await until(lambda: running["a"].output.read_bytes, "its words")
        running.text = text + "working_dir = '/nowhere'\nrestart = { policy = 'never' }\n"
        await running.fleet.reload()
        await running.wait_state("a", "failed")
        assert [one.stderr_tail for one in running["a"].exits] == [("it hurts",), ()]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("exit 7", ("exit", 7, None)),
        ("kill -SEGV $$", ("signal", None, "SIGSEGV")),
        ("kill -40 $$", ("signal", None, "SIGRTMIN+6")),
    ],
)
async def test_how_it_ended(tmp_path: Path, command: str, expected: tuple[object, ...]) -> None:
    text = f"[worker.a]\ncommand = ['sh', '-c', 'echo last >&2; {command}']\nrestart = {{ policy = 'never' }}\n"
    async with fleet(tmp_path, text) as running:
        one = await running.wait_state("a", "failed")
        record = one.exits[-1]
        assert (record.cause, record.code, record.signal) == expected
        assert record.stderr_tail == ("last",)
        assert record.rusage is not None
        assert record.rusage.max_rss_bytes > 0


async def test_output_held_open_by_a_stranger_delays_the_exit_but_shortly(tmp_path: Path) -> None:
    text = "[worker.a]\ncommand = ['sh', '-c', 'echo up; exec sleep 1000']\ninit = false\nautostart = false\n"
    text += "stop = { signal = 'SIGKILL' }\n"
    async with fleet(tmp_path, text) as running:
        await running.fleet.start([])
        await until(lambda: running["a"].output.read_bytes, "output")
        fd = os.open(f"/proc/{running.pid('a')}/fd/1", os.O_WRONLY)
        await running.fleet.stop([])
        await running.wait_state("a", "stopped", timeout_s=3)
        os.close(fd)
