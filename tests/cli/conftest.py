import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest
import trio

from supervisor.cli.main import main
from supervisor.control.server import serve
from tests.control.fakes import FakeFleet, socket_path

__all__ = ["socket_path"]


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


class Served:
    """The command line in this thread, a control server with a fake fleet in another."""

    def __init__(self, path: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.fleet = FakeFleet()
        self.path = path
        self._capsys = capsys
        self._stop = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,))

    def __call__(self, *arguments: str) -> Outcome:
        """Run `nsvisor --socket … arguments`."""
        self._capsys.readouterr()
        status = main(["--socket", self.path, *arguments])
        return Outcome(status, *self._capsys.readouterr())

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(5)

    def stop(self) -> None:
        if self._thread.is_alive() and self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._stop.cancel)
        self._thread.join()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._stop:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve, self.fleet, self.path)
                nursery.start_soon(self._leave)
                self._ready.set()

    async def _leave(self) -> None:
        await self.fleet.shutdown.wait()
        self._stop.cancel()


@pytest.fixture
def nsv(socket_path: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Served]:
    served = Served(socket_path, capsys)
    served.start()
    yield served
    served.stop()
