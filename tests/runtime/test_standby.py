"""Standbys give way: to launches that somebody waits for, and where memory is short."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from supervisor.runtime import memory_pressure
from supervisor.runtime.host_mounts import HostMounts
from supervisor.runtime.memory_pressure import MemoryPressure, available_share, trigger
from tests.runtime.fleets import PATIENCE_S, fleet, until

PINNED = f"taskset -p -c {min(os.sched_getaffinity(0))} $$ >&2; while :; do :; done"
TEXT = '[worker.web]\ncommand = ["sleep", "1000"]\nrestart = { standby = true, policy = "always" }\n'


@contextmanager
def urgent() -> Iterator[tuple[int, socket.socket]]:
    """A descriptor that the kernel makes POLLPRI, as it does a pressure trigger, and who causes that."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as far:
        near, _ = server.accept()
        with near:
            yield near.fileno(), far


async def test_it_is_dropped_where_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_pressure, "CALM_S", 0.5)
    with urgent() as (fd, far):
        async with fleet(tmp_path, TEXT, begin=False) as running:
            running.services.pressure = MemoryPressure(running.nursery, lambda: os.dup(fd))
            await running.begin()
            await running.wait_event("standby.ready", incarnation=2)
            far.send(b"!", socket.MSG_OOB)
            dropped = await running.wait_event("standby.dropped", incarnation=2)
            assert dropped["reason"] == "memory is short"
            assert running["web"].standby.mark is None
            assert running.state_of("web") == "ready"
            await until(lambda: len(running.events("standby.ready", incarnation=2)) == 2, "another, once it is calm")
            assert running["web"].status.incarnation == 1


async def test_none_is_built_while_little_memory_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_pressure, "CALM_S", 0.1)
    monkeypatch.setattr(memory_pressure, "LEAST_SHARE", 1.1)
    async with fleet(tmp_path, TEXT) as running:
        await running.wait_state("web", "ready")
        await trio.sleep(0.6)
        assert running.events("setup.phase", incarnation=2) == []
        monkeypatch.setattr(memory_pressure, "LEAST_SHARE", 0.0)
        await running.wait_event("standby.ready", incarnation=2)


async def test_it_waits_for_launches_and_holds_none_up(tmp_path: Path) -> None:
    async with fleet(tmp_path, TEXT) as running:
        await running.wait_state("web", "ready")
        slots, launch = running.services.slots, object()
        await slots.acquire_on_behalf_of(launch)
        await until(lambda: running["web"].standby.mark == "building", "it to be asked for")
        await trio.sleep(0.3)
        assert running.events("setup.phase", incarnation=2) == []
        slots.release_on_behalf_of(launch)
        await running.wait_event("standby.ready", incarnation=2)
        assert slots.borrowed_tokens == 0  # while it is held


async def test_one_that_cannot_be_built_harms_nobody(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    mounts = f'mounts = [{{ type = "bind", source = "{source}", target = "/x" }}]\n'
    async with fleet(tmp_path, TEXT + mounts) as running:
        await running.wait_state("web", "ready")
        source.unlink()
        failed = await running.wait_event("standby.failed", incarnation=2)
        assert (failed["phase"], failed["errno"]) == ("mount.bind", "ENOENT")
        assert failed["hint"]
        assert running.events("setup.failed") == []
        assert running.state_of("web") == "ready"
        source.touch()
        await running.wait_event("standby.ready", incarnation=2)


def test_the_kernel_takes_the_trigger() -> None:
    if not os.path.exists("/proc/pressure/memory"):
        pytest.skip("a kernel without PSI")
    try:
        fd = trigger()
    except PermissionError:
        pytest.skip("a kernel that takes triggers from root only")
    os.close(fd)
    assert 0 < available_share() <= 1


async def looking_resets_a_trigger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_pressure, "FILES", ("/proc/pressure/cpu",))
    monkeypatch.setattr(memory_pressure, "TRIGGER", b"some 50000 2000000")
    try:
        fd = trigger()
    except OSError:
        pytest.skip("a kernel that takes no triggers from this user")
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(trio.run_process, ["sh", "-c", PINNED])
            await until(lambda: poll.poll(0), "the trigger")
            assert poll.poll(0) == []  # it fires once in its 2 s at most
            nursery.cancel_scope.cancel()
    finally:
        os.close(fd)


async def test_a_trigger_of_the_kernels_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the pressure that is cheap to make: two processes that want one processor."""
    monkeypatch.setattr(memory_pressure, "FILES", ("/proc/pressure/cpu",))
    monkeypatch.setattr(memory_pressure, "TRIGGER", b"some 50000 2000000")
    try:
        os.close(trigger())
    except OSError:
        pytest.skip("a kernel that takes no triggers from this user")
    heard = trio.Event()

    class Holder:
        def relieve(self, why: str) -> None:
            assert why == memory_pressure.WHY
            heard.set()

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(trio.run_process, ["sh", "-c", PINNED])
        MemoryPressure(nursery).watch(Holder())
        with trio.fail_after(PATIENCE_S):
            await heard.wait()
        nursery.cancel_scope.cancel()


def test_mounts_are_read_where_one_has_changed() -> None:
    mounts = HostMounts()
    try:
        first = mounts.generation()
        assert mounts.generation() == first
        assert any(" /proc " in line for line in mounts.at(["/proc"]))
        assert mounts.at(["/proc/version"]) == ()
        assert os.stat("/proc").st_dev not in mounts.remote()
    finally:
        mounts.close()
