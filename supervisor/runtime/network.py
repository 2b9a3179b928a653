"""What the network of one incarnation needs outside its sandbox: started for `net.attach`, watched, ended with it."""

import errno
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from supervisor.runtime import pasta
from supervisor.runtime.bridge import Port
from supervisor.runtime.child import Child
from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.helper import Helper
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.sandbox.steps.bridge import inner_name
from supervisor.sandbox.steps.network import forwards_dns
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker, instance_name
from supervisor.spec.publish import published


class Listener(Protocol):
    """Who hears of it."""

    def network_said(self, line: str, *, up: bool) -> None:
        """One line of a helper's log. up: said after it had come up."""

    def network_failed(self, why: str) -> None:
        """It is gone, and the sandbox is cut off. Told once."""


class Network:
    """Of one incarnation. Its tasks run in the nursery; end() comes before the nursery's own end."""

    def __init__(self, worker: Worker, index: int, facts: HostFacts, nursery: trio.Nursery, listener: Listener) -> None:
        self._worker = worker
        self._index = index
        self._facts = facts
        self._nursery = nursery
        self._listener = listener
        self._helper: Helper | None = None
        self._port: Port | None = None
        self._up = trio.Event()
        self._last_line = ""

    async def attach(self, child: Child, mode: str, fds: list[int]) -> None:
        """Answer the need `network`; fds: the new network namespace. OSError."""
        await self.end()  # of a try with a keeper that died
        ways: dict[str, Callable[[Child, int], Awaitable[None]]] = {
            "pasta": self._start_pasta,
            "bridge": self._join_bridge,
        }
        if mode not in ways or len(fds) != 1:
            raise OSError(errno.EINVAL, f"no way to attach {mode!r}")
        with trio.move_on_after(self._worker.network.timeout_s) as scope:
            await ways[mode](child, fds[0])
        if scope.cancelled_caught:
            text = f"{mode} was not up after {self._worker.network.timeout_s:g} s: {self._last_line}"
            raise OSError(errno.ETIMEDOUT, text)

    async def _start_pasta(self, child: Child, namespace: int) -> None:
        ports = published(self._worker, self._index)
        argv = pasta.command(self._worker.network, ports, dns_forward=forwards_dns(self._worker, self._facts))
        with pasta.namespaces(namespace) as stdio:
            helper = await Helper.spawn(child.keeper, f"{child.name}/{pasta.NAME}", argv, stdio, self._hear)
        self._use(helper)
        async with trio.open_nursery() as race:
            race.start_soon(self._cancel_when, self._up.wait, race.cancel_scope)
            await helper.log_ended()
            race.cancel_scope.cancel()
        if not self._up.is_set():
            raise pasta.failure(self._last_line, ports)

    async def _join_bridge(self, child: Child, namespace: int) -> None:
        place = self._facts.ports[instance_name(self._worker, self._index)]
        self._port = Port(place, self._facts.bridge_owner, child.name)
        await self._port.connect(namespace, inner_name(self._worker.network))

    async def _cancel_when(self, event: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        await event()
        scope.cancel()

    def adopt(self, held: HeldWorker, keeper: KeeperLink) -> None:
        """Take over what an earlier daemon started."""
        self._up.set()
        self._use(Helper.adopt(held, keeper, self._hear))

    def adopt_port(self, name: str) -> None:
        """Take over the place on a bridge that an earlier daemon gave this incarnation, if it has one."""
        place = self._facts.ports.get(instance_name(self._worker, self._index))
        if place is not None:
            self._port = Port(place, self._facts.bridge_owner, name)

    def _use(self, helper: Helper) -> None:
        self._helper = helper
        self._nursery.start_soon(helper.run, self._ended)

    def _hear(self, line: str) -> None:
        if self._helper is not None and line == str(self._helper.child.pid):
            self._up.set()
            self._last_line = ""  # of what it says while it comes up
        elif not pasta.is_noise(line):
            self._last_line = line.strip()
            self._listener.network_said(self._last_line, up=self._up.is_set())

    def _ended(self, status: ExitStatus | None) -> None:
        """By itself. Before it was up, the phase fails and says so."""
        if not self._up.is_set():
            return
        how = "in an unknown way" if status is None else status.signal or f"with exit code {status.code}"
        last = f"; its last words: {self._last_line}" if self._last_line else ""
        self._listener.network_failed(f"{pasta.NAME} has ended ({how}){last}")

    async def end(self) -> None:
        """End it, now that the sandbox has ended. Takes some seconds at most."""
        if self._helper is not None:
            await self._helper.end()
            self._helper = None
        if self._port is not None:
            await self._port.disconnect()
            self._port = None
        self._up = trio.Event()
        self._last_line = ""
