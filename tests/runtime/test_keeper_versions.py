"""Keepers of another version: what they hold is taken over while a new one takes the launches, or is ended first."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from supervisor.runtime import keeper_process, keeper_records
from supervisor.wire import PROTOCOL
from tests.runtime import old_keeper
from tests.runtime.fleets import IDLE, Running, fleet, until
from tests.runtime.test_keepers import some, told

FLEET = f"[worker.a]\n{IDLE}[worker.b]\n{IDLE}"
EARLIER = pytest.mark.parametrize(("protocol", "version"), [(2, "0.0.1"), (3, "0.0.1")])


@contextmanager
def of_version(folder: Path, protocol: int, version: str) -> Iterator[None]:
    """Keepers that are started meanwhile are of this one."""
    text = Path(old_keeper.__file__).read_text()
    text = text.replace("PROTOCOL = 2", f"PROTOCOL = {protocol}").replace('VERSION = "0.0.1"', f'VERSION = "{version}"')
    entry = folder / "old_keeper.py"
    entry.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeper_process, "ENTRY", str(entry))
        yield


async def dies_with_workers(folder: Path, protocol: int, version: str) -> tuple[dict[str, int], int]:
    """A daemon that dies over a keeper of that version: the workers' pids, the keeper's."""
    with of_version(folder, protocol, version):
        async with fleet(folder, FLEET) as first:
            assert await first.fleet.wait([], "ready", 20)
            pids = {name: first.pid(name) for name in ("a", "b")}
            keeper = first.keepers.pid
            first.die()
    return pids, keeper


def sockets(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.sock"))


@EARLIER
async def test_it_drains_and_the_new_one_takes_the_launches(tmp_path: Path, protocol: int, version: str) -> None:
    pids, old = await dies_with_workers(tmp_path, protocol, version)
    async with fleet(tmp_path, FLEET) as second:
        new = second.keepers.pid
        assert new != old
        assert {name: second.pid(name) for name in ("a", "b")} == pids
        await second.fleet.restart(["b"])
        await until(lambda: second["b"].status.incarnation == 2 and second["b"].is_up, "b to be back")
        assert parent(second.pid("b")) == new
        assert second["b"].exits[-1].rusage is not None  # told by the keeper whose child it was
        assert second.state.fd in second_state_fds(second, old)
        second.die()
    pids["b"] = second.pid("b")
    async with fleet(tmp_path, FLEET) as third:  # finds both
        assert third.keepers.pid == new
        assert {name: third.pid(name) for name in ("a", "b")} == pids
        assert {one.fields["pid"] for one in third.events("keeper.adopted")} == {old, new}
        await third.fleet.restart(["a"])
        assert (await third.wait_event("keeper.drained"))["pid"] == old
        await until(lambda: third["a"].is_up, "a to be back")
        assert third.keepers.pid == new
    assert sockets(tmp_path) == []
    assert list((tmp_path / "keepers").iterdir()) == []


def parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def second_state_fds(running: Running, keeper: int) -> set[int]:
    """Our descriptor of the state, if that keeper holds it too."""
    ours = os.fstat(running.state.fd)
    kept = [os.stat(f"/proc/{keeper}/fd/{fd}") for fd in os.listdir(f"/proc/{keeper}/fd")]
    return {running.state.fd} if (ours.st_dev, ours.st_ino) in {(one.st_dev, one.st_ino) for one in kept} else set()


async def test_one_that_dies_while_it_drains_is_not_replaced(tmp_path: Path) -> None:
    pids, old = await dies_with_workers(tmp_path, 2, "0.0.1")
    async with fleet(tmp_path, FLEET) as second:
        new = second.keepers.pid
        os.kill(old, signal.SIGKILL)
        for name in ("a", "b"):
            await until(lambda name=name: second[name].status.incarnation == 2 and second[name].is_up, name)  # type: ignore[misc]
            assert second.pid(name) != pids[name]
        assert second.keepers.pid == new
        assert second.events("keeper.replaced") == []


async def test_workers_of_one_that_speaks_another_language_are_ended_first(tmp_path: Path) -> None:
    with of_version(tmp_path, 2, "9.9.9"):
        async with fleet(tmp_path, FLEET) as first:
            assert await first.fleet.wait([], "ready", 20)
            pids = [first.pid(name) for name in ("a", "b")]
            old = first.keepers.pid
            first.die()
    workers = [os.pidfd_open(pid) for pid in pids]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supervisor.runtime.keeper_greeting.SPOKEN", (PROTOCOL,))
        async with fleet(tmp_path, FLEET, begin=False) as second:
            with trio.fail_after(5):
                for pidfd in workers:
                    await trio.lowlevel.wait_readable(pidfd)
                    os.close(pidfd)
            assert len(second.events("worker.stray")) == 2
            (died,) = second.events("keeper.died")
            assert "another protocol" in died.fields["error"]
            assert second.keepers.pid != old


async def test_one_whose_socket_is_gone_is_found_by_its_record(tmp_path: Path) -> None:
    async with fleet(tmp_path, FLEET) as first:
        assert await first.fleet.wait([], "ready", 20)
        pids = {name: first.pid(name) for name in ("a", "b")}
        keeper = first.keepers.pid
        (tmp_path / "keeper.sock").unlink()
        first.die()
    async with fleet(tmp_path, FLEET) as second:
        assert second.keepers.pid == keeper
        assert {name: second.pid(name) for name in ("a", "b")} == pids


async def test_one_that_cannot_be_reached_at_all_is_ended_with_its_workers(tmp_path: Path) -> None:
    async with fleet(tmp_path, FLEET) as first:
        assert await first.fleet.wait([], "ready", 20)
        pids = [first.pid(name) for name in ("a", "b")]
        keeper = first.keepers.pid
        for name in sockets(tmp_path):
            (tmp_path / ("keepers" if "-" in name else "") / name).unlink()
        first.die()
    workers = [os.pidfd_open(pid) for pid in pids]
    async with fleet(tmp_path, FLEET, begin=False) as second:
        assert second.events("keeper.died", pid=keeper)
        with trio.fail_after(1):
            for pidfd in workers:
                await trio.lowlevel.wait_readable(pidfd)
                os.close(pidfd)
        assert second.keepers.pid != keeper
    assert list((tmp_path / "keepers").iterdir()) == []


async def test_a_number_that_is_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    """A record is held, by whom it does not say."""
    record, lock = keeper_records.make(str(tmp_path / "keepers"))
    record.write(os.getpid(), "")
    assert record.known is not None
    record.known.started += 1
    with open(record.path, "w", encoding="ascii") as file:  # noqa: ASYNC230
        file.write(f'{{"pid": {os.getpid()}, "started": {record.known.started}}}')
    one = some(tmp_path)
    async with trio.open_nursery() as nursery:
        link, _, _ = await one.open(nursery)
        assert told(one) == ["keeper.started"]
        await one.dismiss()
        assert link.gone.is_set()
    os.close(lock)


async def test_without_a_state_directory_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "keepers").write_text("a file")
    one = some(tmp_path)
    async with trio.open_nursery() as nursery:
        await one.open(nursery)
        assert told(one) == ["keeper.unrecorded", "keeper.started"]
        await one.dismiss()
