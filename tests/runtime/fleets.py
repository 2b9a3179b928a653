"""A real fleet in this process: a real keeper, real namespaces, the real clock; and its end as if by SIGKILL."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from supervisor.host.facts import gather
from supervisor.runtime.fleet import FleetRuntime
from supervisor.runtime.instance import Instance
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keepers import Keepers
from supervisor.runtime.reload import Surroundings
from supervisor.runtime.sd_notify import Notifier
from supervisor.runtime.services import Services
from supervisor.runtime.state import InstanceState, StateFile
from supervisor.spec.load import load_text
from supervisor.spec.model import Fleet
from supervisor.telemetry.bus import EventBus, EventRecord

PATIENCE_S = 20.0
ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "TZ": "UTC"}
IDLE = 'command = ["sleep", "1000"]\n'


def descriptors() -> set[int]:
    """What this process has open."""
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}


WATCH = "anon_inode:inotify"


def kept_open(before: set[int]) -> list[str]:
    """What is open now and was not, but for the watch on the keeper's socket: one is given up as another begins."""
    return [link for link in links(descriptors() - before) if link != WATCH]


def links(fds: set[int]) -> list[str]:
    """What they are."""
    return sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in fds)


async def until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds."""
    with trio.move_on_after(timeout_s):
        while not condition():  # noqa: ASYNC110  (about other processes)
            await trio.sleep(0.005)
        return
    raise AssertionError(f"waited {timeout_s} s for {what}")


class Running:
    """A fleet and what it is made of."""

    def __init__(self, directory: Path, text: str, nursery: trio.Nursery) -> None:
        self.directory = directory
        self.text = text
        self.nursery = nursery
        self.bus = EventBus("debug")
        self.keepers = Keepers(str(directory / "keeper.sock"), ENVIRON, 20.0, self.bus, str(directory / "keepers"))
        self.held: list[HeldWorker] = []
        self.states: dict[str, InstanceState] = {}
        self.link: KeeperLink
        self.state: StateFile
        self.services: Services
        self.fleet: FleetRuntime
        self.is_over = False
        self.died = False

    async def open(self) -> None:
        """Make the fleet, as the daemon does, but begin nothing."""
        for name in ("logs", "history"):
            (self.directory / name).mkdir(exist_ok=True)
        self.link, self.held, state_fd = await self.keepers.open(self.nursery)
        self.state = StateFile(state_fd)
        self.states = self.state.load()
        await self.keepers.hold_state(self.state.fd)
        self.services = Services(
            self.bus,
            self.keepers,
            self.state,
            gather(ENVIRON),
            self.nursery,
            str(self.directory),
            self.read().supervisor.start_concurrency,
            lambda name: self.fleet.pids(name),  # noqa: PLW0108  (the fleet is made after this)
        )
        surroundings = Surroundings(self.read, lambda _: gather(ENVIRON), lambda _: None, Notifier(None))
        self.fleet = FleetRuntime(self.read(), self.services, surroundings)
        self.fleet.remember(self.states)

    async def begin(self) -> None:
        """Adopt, and start the rest."""
        await self.fleet.begin(self.held, self.states, self.link)

    def read(self) -> Fleet:
        """The configuration as it is now."""
        return load_text(self.text, environ=ENVIRON)

    def __getitem__(self, name: str) -> Instance:
        return self.fleet.instances[name]

    def state_of(self, name: str) -> str:
        return str(self[name].status.state)

    def pid(self, name: str) -> int:
        pid = self[name].pid
        assert pid is not None
        return pid

    async def wait_state(self, name: str, *states: str, timeout_s: float = PATIENCE_S) -> Instance:
        """Wait until it is in one of these states."""
        await until(lambda: self.state_of(name) in states, f"{name} to be {states}", timeout_s)
        return self[name]

    def events(self, event: str = "", **fields: object) -> list[EventRecord]:
        """Published so far."""
        return [
            one
            for one in self.bus._kept
            if event in ("", one.event) and all(one.fields.get(key) == value for key, value in fields.items())
        ]

    async def wait_event(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for one, and return its fields."""
        await until(lambda: self.events(event, **fields), f"{event} {fields}")
        return self.events(event, **fields)[0].fields

    def die(self) -> None:
        """As by SIGKILL: nothing is told to anybody, every descriptor is closed. The test's body ends here."""
        self.is_over = self.died = True
        self.keepers._leaving = True
        self.nursery.cancel_scope.cancel()
        for link in self.keepers._links():
            link.close()

    async def shut_down(self) -> list[str]:
        """An orderly end."""
        self.is_over = True
        left = await self.fleet.shut_down()
        await self.keepers.dismiss()
        assert self.keepers._link is not None
        assert self.keepers._link.gone.is_set(), "the keeper holds a worker that nobody acknowledged"
        self.services.close()
        os.close(self.state.fd)
        self.nursery.cancel_scope.cancel()
        return left


KEEPERS: "list[subprocess.Popen[bytes]]" = []  # of those that have died: to be reaped


@asynccontextmanager
async def fleet(directory: Path, text: str, *, begin: bool = True) -> AsyncIterator[Running]:
    """A fleet on this TOML; shut down in the end unless it has died."""
    before = descriptors()
    async with trio.open_nursery() as nursery:
        running = Running(directory, text, nursery)
        running.read()  # before there is a keeper
        await running.open()
        await until(lambda: WATCH in links(descriptors() - before), "the watch on the keeper's socket")
        if begin:
            await running.begin()
        try:
            yield running
        finally:
            if not running.is_over:
                with trio.CancelScope(shield=True):
                    await running.shut_down()
    for instance in running.fleet.instances.values():
        instance.output.close()
    if running.keepers._starts._process is not None:
        KEEPERS.append(running.keepers._starts._process)
    left = descriptors() - before
    if not running.died:
        assert links(left) == []
    for fd in left:
        os.close(fd)
    for process in list(KEEPERS):
        if process.poll() is not None:
            KEEPERS.remove(process)
