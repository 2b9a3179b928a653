import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.kernel import inotify
from supervisor.runtime import presence
from supervisor.runtime.presence import until_missing


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "SETTLE_S", 0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a socket whose owner has it open, as a listener has."""
    place = tmp_path / "above" / "below" / "it.sock"
    place.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place))
    return place


@asynccontextmanager
async def waited_for(path: Path) -> AsyncIterator[trio.Event]:
    """Set when it is missed."""
    missed = trio.Event()

    async def wait() -> None:
        await until_missing(str(path), lambda: os.path.lexists(path))
        missed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        yield missed
        with trio.fail_after(20):
            await missed.wait()


CHANGES: dict[str, Callable[[Path], object]] = {
    "unlinked": lambda path: path.unlink(),
    "moved": lambda path: path.rename(path.parent / "else"),
    "a directory above moved": lambda path: path.parent.parent.rename(path.parents[2] / "else"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_missed(path: Path, change: str) -> None:
    async with waited_for(path):
        CHANGES[change](path)


async def test_missed_though_it_is_open(path: Path) -> None:
    """Its inode lives on: only the count of links tells."""
    with open(path.parent / "held", "w", encoding="utf-8") as held:  # noqa: ASYNC230 it blocks nobody
        async with waited_for(Path(held.name)):
            CHANGES["unlinked"](Path(held.name))


async def test_not_there_from_the_start(path: Path) -> None:
    with trio.fail_after(20):
        await until_missing(str(path.parent / "never" / "was"), lambda: False)


async def test_replaced_is_still_there_and_watched(path: Path) -> None:
    async with waited_for(path) as missed:
        other = path.parent / "other"
        os.close(os.open(other, os.O_CREAT | os.O_WRONLY))
        os.rename(other, path)
        with trio.move_on_after(0.3):
            await missed.wait()
        assert not missed.is_set()
        CHANGES["unlinked"](path)


async def test_without_inotify_it_looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(24, "fs.inotify.max_user_instances")

    monkeypatch.setattr(inotify, "inotify_init", refuse)
    monkeypatch.setattr(presence, "LOOK_S", 0.05)
    async with waited_for(path):
        CHANGES["unlinked"](path)
