"""A fleet without processes: the control server's other side."""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import pytest
import trio

from supervisor.control.client import ControlClient
from supervisor.control.late_answer import answer
from supervisor.control.models import Condition, Reexecuted
from supervisor.control.server import serve
from supervisor.host.facts import gather
from supervisor.policy.diff import FleetDiff
from supervisor.policy.health import Health, Said
from supervisor.policy.restart import IllegalMove, Kill, State, Status
from supervisor.runtime.pausing import CannotPause
from supervisor.runtime.reexec_check import CannotReexecError
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.model import Fleet, Worker, instance_names
from supervisor.spec.names import UnknownName, nearest
from supervisor.spec.records import ExitRecord, LaunchRecord, PhaseRecord, Usual
from supervisor.telemetry.bus import EventBus


class FakeInstance:
    def __init__(self, worker: Worker, name: str) -> None:
        self.worker = worker
        self.name = name
        self.status = Status(since=time.monotonic())
        self.pid: int | None = None
        self.started_at: float | None = None
        self.uptime_s: float | None = None
        self.launches: list[LaunchRecord] = []
        self.exits: list[ExitRecord] = []
        self.log_path: str | None = None
        self.usual: Usual | None = None
        self.paused = False
        self.health: Health | None = None
        self.said = Said()
        self.probe_seen: str | None = None
        self.cgroup_path: str | None = None
        self.next_sandbox: Literal["building", "ready"] | None = None


class FakeFleet:
    """web-0 and web-1 are ready, job failed in its set-up, and every request is written down."""

    def __init__(self) -> None:
        web = Worker(name="web", command=("/bin/web",), instances=2)
        job = Worker(name="job", command=("/bin/job",))
        self.spec = Fleet(workers={"web": web, "job": job}, files=("/etc/nsvisor/nsvisor.toml",))
        self.bus = EventBus()
        self.started_at = time.time()
        self.instances = {
            name: FakeInstance(worker, name) for worker in self.spec.workers.values() for name in instance_names(worker)
        }
        for name in ("web-0", "web-1"):
            one = self.instances[name]
            one.status = Status(state=State.READY, since=time.monotonic(), incarnation=3, wanted=True, restarts=2)
            one.started_at, one.uptime_s = time.time() - 60, 60.0
        failed = PhaseRecord(
            "mount.bind", "/srv -> /srv", "failed", 1200, 300, "ENOENT", "open_tree", hint="No such path."
        )
        job_ = self.instances["job"]
        job_.status = Status(
            state=State.BACKOFF, since=time.monotonic(), incarnation=7, wanted=True, deadline=time.monotonic() + 30
        )
        job_.launches = [
            LaunchRecord("job", 7, time.time(), 1500, "failed", (PhaseRecord("clone", "", "ok", 0, 900), failed))
        ]
        job_.exits = [ExitRecord(7, "setup", time.time(), phase="mount.bind", errno="ENOENT", stderr_tail=("oh",))]
        self.asked: list[tuple[object, ...]] = []
        self.problems: tuple[Problem, ...] = ()
        self.cannot_reexec: str | None = None
        self.waiting = trio.Event()  # somebody waits
        self.wait_cancelled = trio.Event()
        self.met = trio.Event()
        self.shutdown = trio.Event()

    def select(self, names: Sequence[str]) -> list[FakeInstance]:
        for name in names:
            if name not in self.instances and name not in self.spec.workers:
                raise UnknownName(name, nearest(name, (*self.spec.workers, *self.instances)))
        return [one for one in self.instances.values() if not names or one.name in names or one.worker.name in names]

    async def start(self, names: Sequence[str], by: str) -> None:
        self.asked.append(("start", tuple(names), by))

    async def stop(self, names: Sequence[str], by: str) -> None:
        self.asked.append(("stop", tuple(names), by))

    async def restart(self, names: Sequence[str], by: str) -> None:
        raise ZeroDivisionError(f"a fault of ours for {names} by {by}")

    async def kill(self, names: Sequence[str], signal: str, by: str) -> None:
        if "job" in names:
            raise IllegalMove(self.instances["job"].status, Kill(by=by, signal=signal))
        self.asked.append(("kill", tuple(names), signal, by))

    async def pause(self, names: Sequence[str]) -> None:
        if "job" in names:
            raise CannotPause("cannot pause job: it is backoff, not running")
        self.asked.append(("pause", tuple(names)))

    async def unpause(self, names: Sequence[str]) -> None:
        if "job" in names:
            raise CannotPause("cannot unpause job: it is not paused")
        self.asked.append(("unpause", tuple(names)))

    async def wait(self, names: Sequence[str], condition: Condition, timeout_s: float | None) -> bool:
        self.asked.append(("wait", tuple(names), condition, timeout_s))
        self.waiting.set()
        try:
            with trio.move_on_after(float("inf") if timeout_s is None else timeout_s):
                await self.met.wait()
                return True
        except trio.Cancelled:
            self.wait_cancelled.set()
            raise
        return False

    async def reload(self, dry_run: bool) -> FleetDiff:
        self.asked.append(("reload", dry_run))
        if self.problems:
            raise ConfigError(self.problems)
        return FleetDiff(added=("db",), unchanged=tuple(self.instances))

    async def reexec(self, client: Callable[[], int]) -> None:
        self.asked.append(("reexec",))
        if self.problems:
            raise ConfigError(self.problems)
        if self.cannot_reexec is not None:
            raise CannotReexecError(self.cannot_reexec)
        answer(client(), HTTPStatus.OK, Reexecuted("1.0", "2.0", os.getpid(), 3))
        await trio.sleep_forever()

    def request_shutdown(self) -> None:
        self.shutdown.set()

    def plan(self, name: str) -> Plan:
        worker = self.instances[name].worker
        return compile_plan(worker, instance_names(worker).index(name), gather(os.environ))


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
def socket_path() -> Iterator[str]:
    """Short: a socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="nsv-") as folder:
        yield str(Path(folder) / "run" / "control.sock")


@contextlib.asynccontextmanager
async def served(fleet: FakeFleet, path: str) -> AsyncIterator[ControlClient]:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, fleet, path)
        yield ControlClient(path)
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def connected(path: str) -> AsyncIterator[trio.SocketStream]:
    """A client that says what it likes."""
    plain = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await plain.connect(path)
    async with trio.SocketStream(plain) as stream:
        yield stream


async def read_all(stream: trio.SocketStream) -> bytes:
    data = b""
    with trio.fail_after(5):
        try:
            while chunk := await stream.receive_some(65536):
                data += chunk
        except trio.BrokenResourceError:
            pass  # reset: what had come is here
    return data
