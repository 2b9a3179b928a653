"""The composition root: read the configuration, build everything, run until told to stop."""

import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial

import trio

from supervisor import __version__
from supervisor.control import exec_server, server
from supervisor.control.metrics_server import MetricsServer
from supervisor.control.sockets import SocketTaken
from supervisor.host.facts import gather
from supervisor.runtime.address_book import AddressBook
from supervisor.runtime.bridge import remove_unused, sweep
from supervisor.runtime.directories import DirectoryError, private_directory
from supervisor.runtime.fleet import FleetRuntime
from supervisor.runtime.fleet_samples import samples
from supervisor.runtime.id_book import IdBook
from supervisor.runtime.keeper_errors import AdoptionError, KeeperGoneError
from supervisor.runtime.keepers import Keepers
from supervisor.runtime.lock import LockedError, lock
from supervisor.runtime.record_log import RecordLog
from supervisor.runtime.sd_notify import Notifier
from supervisor.runtime.services import Services
from supervisor.runtime.state import InstanceState, StateFile
from supervisor.spec import paths
from supervisor.spec.errors import ConfigError
from supervisor.spec.facts import HostFacts
from supervisor.spec.load import find_config, load_config
from supervisor.spec.model import Fleet
from supervisor.telemetry.bus import EventBus
from supervisor.telemetry.metrics import METRICS
from supervisor.telemetry.setup import configure


class ListenError(Exception):
    """The control socket cannot be made, or is another daemon's."""


EXPECTED = (ConfigError, DirectoryError, LockedError, ListenError, AdoptionError, KeeperGoneError)


def main(config: str | None, socket: str | None, environ: Mapping[str, str]) -> int:
    """Run the daemon in the foreground: 0 after an orderly stop, 1 where it could not start."""
    try:
        path = find_config(config, environ, os.geteuid())
        spec = load_config(path)
        configure(spec.supervisor.log_level)
        runtime = private_directory(paths.runtime_dir(environ, os.geteuid()))
        state = private_directory(paths.state_dir(environ, os.geteuid()))
        for part in ("logs", "history"):
            private_directory(os.path.join(state, part))
        locks = [
            lock(os.path.join(runtime, "daemon.lock"), "XDG_RUNTIME_DIR"),
            lock(os.path.join(state, "daemon.lock"), "XDG_STATE_HOME"),
        ]
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    _raise_descriptor_limit()
    daemon = Daemon(spec, environ, runtime, state, lambda: load_config(path))
    failed = False
    try:
        trio.run(daemon.run, socket or os.path.join(runtime, "control.sock"), strict_exception_groups=True)
    except* EXPECTED as errors:
        failed = True
        for one in _leaves(errors):
            daemon.bus.publish("daemon.failed", "error", error=str(one))
    finally:
        daemon.records.close()
        for held in locks:
            os.close(held)
    return int(failed)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _raise_descriptor_limit() -> None:
    """Four descriptors an instance here and four in the keeper: 1024, the usual soft limit, is 250 instances."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Daemon:
    """Everything, put together."""

    def __init__(
        self, spec: Fleet, environ: Mapping[str, str], runtime: str, state: str, read_config: Callable[[], Fleet]
    ) -> None:
        self.bus = EventBus(spec.supervisor.log_level, first_id=time.time_ns() // 1000)  # beyond those of any before
        self._spec = spec
        self._environ = environ
        self._runtime = runtime
        self._state = state
        self._read_config = read_config
        self._ids = IdBook(state, os.geteuid())
        self._addresses = AddressBook(state)
        self._notifier = Notifier.from_environ(environ, self.bus)
        self.records = RecordLog(os.path.join(state, "logs"), self.bus)
        self._metrics: MetricsServer | None = None
        METRICS.attach(self.bus)

    async def run(self, socket: str) -> None:
        """From the first signal handler to the last."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
            self.bus.publish("daemon.started", version=__version__, pid=os.getpid(), files=list(self._spec.files))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.records.run)
                fleet, services = await self._assemble(nursery, signals, socket)
                await fleet.shutdown_requested.wait()
                self._notifier.stopping()
                self.bus.publish("daemon.stopping", instances=len(fleet.instances))
                unkillable = await fleet.shut_down()
                await remove_unused(self._addresses.bridges, self.bus.publish)
                await services.keepers.dismiss()
                services.close()
                self.bus.publish("daemon.stopped", "error" if unkillable else "info", unkillable=unkillable)
                self.bus.close()
                nursery.cancel_scope.cancel()

    async def _assemble(
        self, nursery: trio.Nursery, signals: AsyncIterator[int], socket: str
    ) -> tuple[FleetRuntime, Services]:
        timeout_s = self._spec.supervisor.adopt_timeout_s
        keepers = Keepers(os.path.join(self._runtime, "keeper.sock"), self._environ, timeout_s, self.bus)
        keeper, held, state_fd = await keepers.open(nursery)
        state, states = self._load_state(state_fd)
        await keepers.hold_state(state.fd)
        services = Services(
            bus=self.bus,
            keepers=keepers,
            state=state,
            facts=self._facts(self._spec),
            nursery=nursery,
            state_directory=self._state,
            start_concurrency=self._spec.supervisor.start_concurrency,
            pids=lambda name: fleet.pids(name),  # noqa: PLW0108  (the fleet is made after this)
        )
        fleet = FleetRuntime(self._spec, services, self._read_config, partial(self._follow, services), self._notifier)
        METRICS.instances_from(lambda: samples(fleet.instances.values()))
        nursery.start_soon(self._obey, signals, fleet)
        await self._listen(nursery, fleet, socket)
        self._metrics = MetricsServer(fleet, lambda: fleet.spec.supervisor.metrics.listen)
        await nursery.start(self._metrics.run)
        if held:
            self.bus.publish("daemon.adopted", workers=sum("/" not in one.name for one in held), keeper_pid=keepers.pid)
        nursery.start_soon(sweep, services.facts.bridge_owner, {one.name for one in held}, self.bus.publish)
        await fleet.begin(held, states, keeper)
        self._notifier.ready()
        self.bus.publish("daemon.ready", instances=len(fleet.instances), keeper_pid=keepers.pid, socket=socket)
        nursery.start_soon(self._notifier.watchdog_loop)
        if self._notifier.address:
            nursery.start_soon(fleet.report_status)
        return fleet, services

    def _facts(self, spec: Fleet) -> HostFacts:
        """The host's, with what each worker is given of it."""
        facts = self._ids.assign(spec, gather(self._environ), self.bus.publish)
        return self._addresses.assign(spec, facts, self.bus.publish)

    async def _listen(self, nursery: trio.Nursery, fleet: FleetRuntime, socket: str) -> None:
        try:
            await nursery.start(server.serve, fleet, socket)
            await nursery.start(exec_server.serve, fleet, paths.exec_socket(socket))
        except (OSError, SocketTaken) as error:
            if not fleet.services.keepers.adopted:
                await fleet.services.keepers.dismiss()  # it would wait for the next daemon with nothing to give
            raise ListenError(error.strerror if isinstance(error, OSError) else str(error)) from None

    def _load_state(self, fd: int) -> tuple[StateFile, dict[str, InstanceState]]:
        state = StateFile(fd)
        try:
            return state, state.load()
        except ValueError as error:  # what it told of is ended then, before anything is launched
            self.bus.publish("state.unreadable", "error", error=str(error))
            os.close(fd)
            return StateFile(), {}

    def _follow(self, services: Services, new: Fleet) -> None:
        """Apply what a reload changes of the daemon itself."""
        services.facts = self._facts(new)
        configure(new.supervisor.log_level)
        self.bus.set_level(new.supervisor.log_level)
        if self._metrics is not None:
            self._metrics.follow()

    async def _obey(self, signals: AsyncIterator[int], fleet: FleetRuntime) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                fleet.services.nursery.start_soon(_reload, fleet)  # it waits for workers to leave; signals must not
            else:
                fleet.request_shutdown()


async def _reload(fleet: FleetRuntime) -> None:
    with suppress(ConfigError):  # it was published; the fleet goes on as it was
        await fleet.reload()
