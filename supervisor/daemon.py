"""The composition root: read the configuration, build everything, run until told to stop."""

import gc
import math
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus

import trio

from supervisor import __version__
from supervisor.control import exec_server, server, sockets
from supervisor.control.late_answer import answer
from supervisor.control.metrics_server import MetricsServer
from supervisor.control.models import ErrorBody, ErrorView, Reexecuted
from supervisor.control.sockets import SocketTaken
from supervisor.host.facts import gather
from supervisor.host.possible import possible_here
from supervisor.runtime import address_book, id_book
from supervisor.runtime import signals as obeyed
from supervisor.runtime.address_book import AddressBook
from supervisor.runtime.bridge import remove_unused, sweep
from supervisor.runtime.directories import DirectoryError, private_directory
from supervisor.runtime.fleet import FleetRuntime
from supervisor.runtime.fleet_samples import samples
from supervisor.runtime.handover import Handover, HandoverError
from supervisor.runtime.id_book import IdBook
from supervisor.runtime.keeper_errors import AdoptionError, KeeperGoneError
from supervisor.runtime.keepers import Keepers
from supervisor.runtime.lock import LockedError, keep_lock, lock
from supervisor.runtime.program import this_program
from supervisor.runtime.record_log import RecordLog
from supervisor.runtime.reexec import Reexec
from supervisor.runtime.reexec_check import CannotReexecError
from supervisor.runtime.reload import CannotReload, Surroundings
from supervisor.runtime.sd_notify import Notifier
from supervisor.runtime.services import Services
from supervisor.runtime.state import InstanceState, StateFile, UnreadableStateError, take_over
from supervisor.runtime.waking_clock import WakingClock
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


EXIT_UNKILLABLE = 5  # and systemd is not to start the daemon again: it was told to leave (RestartPreventExitStatus=)
SWITCH_S = 0.000_5  # after each system call the event loop waits so long for a thread that computes: usage, metrics
KEEPER_S, STUCK_KEEPER_S = 5.0, 0.5  # waited for the keeper to leave; with a worker that does not die it cannot
CONFIG_PATIENCE_S, CONFIG_PAUSE_S = 5.0, 0.1  # after a re-execution there is no way back
SECOND_INTERRUPT_S = 0.5  # after the first at the earliest
EXPECTED = (ConfigError, DirectoryError, LockedError, ListenError, AdoptionError, KeeperGoneError, HandoverError)


def main(config: str | None, socket: str | None, environ: MutableMapping[str, str]) -> int:
    """Run in the foreground: 0 after an orderly stop, 1 where it cannot go on, 5 where a worker would not die."""
    handover: Handover | None = None
    try:
        handover = Handover.take(environ)
        path, spec = _read(config, environ, patience_s=0.0 if handover is None else CONFIG_PATIENCE_S)
        configure(spec.supervisor.log_level)
        runtime = private_directory(paths.runtime_dir(environ, os.geteuid()))
        state = private_directory(paths.state_dir(environ, os.geteuid()))
        for part in ("logs", "history"):
            private_directory(os.path.join(state, part))
        locks = _lock(runtime, state, handover)
    except EXPECTED as error:
        print(error, file=sys.stderr)
        _refuse(handover, str(error))
        return 1
    _raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_S)
    daemon = Daemon(spec, environ, runtime, state, lambda: possible_here(load_config(path)), locks, handover)
    failed = False
    clock = WakingClock(daemon.tell_slept)
    try:
        trio.run(
            daemon.run,
            socket or os.path.join(runtime, "control.sock"),
            clock=clock,
            instruments=[clock],
            strict_exception_groups=True,
        )
    except* EXPECTED as errors:
        failed = True
        for one in _leaves(errors):
            daemon.bus.publish("daemon.failed", "error", error=str(one))
            _refuse(handover, str(one))
    finally:
        daemon.records.close()
        for held in locks:
            os.close(held)
    return EXIT_UNKILLABLE if daemon.unkillable and not failed else int(failed)


def _read(config: str | None, environ: Mapping[str, str], patience_s: float) -> tuple[str, Fleet]:
    """Find and read the configuration. patience_s: of one that was good a moment ago, and may be half written now."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            path = find_config(config, environ, os.geteuid())
            return path, possible_here(load_config(path))
        except ConfigError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(CONFIG_PAUSE_S)


def _lock(runtime: str, state: str, handover: Handover | None) -> tuple[int, int]:
    """Both locks: taken now, or never let go of."""
    paths = (
        (os.path.join(runtime, "daemon.lock"), "XDG_RUNTIME_DIR"),
        (os.path.join(state, "daemon.lock"), "XDG_STATE_HOME"),
    )
    if handover is None:
        return lock(*paths[0]), lock(*paths[1])
    fds = handover.fds
    return keep_lock(fds.runtime_lock, *paths[0]), keep_lock(fds.state_lock, *paths[1])


def _refuse(handover: Handover | None, why: str) -> None:
    """Tell who asked for the re-execution that this program cannot go on, though it had said that it could."""
    if handover is not None and handover.fds.client >= 0:
        view = ErrorView("internal", f"cannot go on as nsvisor {__version__}: {why}")
        answer(handover.fds.client, HTTPStatus.INTERNAL_SERVER_ERROR, ErrorBody(view))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _raise_descriptor_limit() -> None:
    """The usual soft limit, 1024, is some 160 instances. The keeper inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Daemon:
    """Everything, put together."""

    def __init__(
        self,
        spec: Fleet,
        environ: Mapping[str, str],
        runtime: str,
        state: str,
        read_config: Callable[[], Fleet],
        locks: tuple[int, int],
        handover: Handover | None,
    ) -> None:
        first_id = (
            time.time_ns() // 1000 if handover is None else handover.last_event_id + 1
        )  # beyond those of any before
        self.bus = EventBus(spec.supervisor.log_level, first_id, () if handover is None else handover.events)
        self._locks = locks
        self._handover = handover
        self._spec = spec
        self._environ = environ
        self._runtime = runtime
        self._state = state
        self._read_config = read_config
        self._ids = IdBook(state, os.geteuid())
        if handover is not None and handover.fds.ids >= 0:
            self._ids.locks.inherit(handover.fds.ids)
        self._addresses = AddressBook(state)
        self._notifier = Notifier.from_environ(environ, self.bus)
        self.records = RecordLog(os.path.join(state, "logs"), self.bus)
        self._metrics: MetricsServer | None = None
        self._interrupted_at = -math.inf
        self.unkillable: list[str] = []
        METRICS.attach(self.bus)

    async def run(self, socket: str) -> None:
        """From the first signal handler to the last."""
        with trio.open_signal_receiver(*obeyed.OBEYED) as signals:
            obeyed.unblock()
            self._notifier.watchdog()  # the last one may have been said by another program
            self.bus.publish("daemon.started", version=__version__, pid=os.getpid(), files=list(self._spec.files))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.records.run)
                fleet, services = await self._assemble(nursery, signals, socket)
                await fleet.shutdown_requested.wait()
                self._notifier.stopping()
                self.bus.publish("daemon.stopping", instances=len(fleet.instances))
                unkillable = self.unkillable = await fleet.shut_down()
                await remove_unused(self._addresses.bridges, self.bus.publish)
                await services.keepers.dismiss(STUCK_KEEPER_S if unkillable else KEEPER_S)
                services.close()
                self.bus.publish("daemon.stopped", "error" if unkillable else "info", unkillable=unkillable)
                self.bus.close()
                nursery.cancel_scope.cancel()

    async def _assemble(
        self, nursery: trio.Nursery, signals: AsyncIterator[int], socket: str
    ) -> tuple[FleetRuntime, Services]:
        timeout_s = self._spec.supervisor.adopt_timeout_s
        records = os.path.join(self._state, "keepers")
        keepers = Keepers(os.path.join(self._runtime, "keeper.sock"), self._environ, timeout_s, self.bus, records)
        keeper, held, state_fd = await keepers.open(nursery)
        state, states = self._load_state(state_fd)
        await keepers.hold_state(state.fd)
        handover = self._handover
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
        fleet = FleetRuntime(self._spec, services, self._surroundings(services))
        fleet.remember(states)
        METRICS.instances_from(lambda: samples(fleet.instances.values()))
        nursery.start_soon(self._obey, signals, fleet)
        reexec = await self._listen(nursery, fleet, socket)
        fleet.become = reexec.run
        self._metrics = MetricsServer(fleet, lambda: fleet.spec.supervisor.metrics.listen)
        await nursery.start(self._metrics.run)
        if held:
            self.bus.publish("daemon.adopted", workers=sum("/" not in one.name for one in held), keeper_pid=keepers.pid)
        nursery.start_soon(sweep, services.facts.bridge_owner, {one.name for one in held}, self.bus.publish)
        gc.collect()
        gc.freeze()  # what lives now lives as long as we do: collections need not look at it, and are half as long
        if handover is not None:
            for name in handover.tails.keys() & fleet.instances.keys():
                fleet.instances[name].output.take_over(handover.tails[name])
        await fleet.begin(held, states, keeper)
        self._notifier.ready()
        self.bus.publish("daemon.ready", instances=len(fleet.instances), keeper_pid=keepers.pid, socket=socket)
        if handover is not None:
            self._tell_reexec(handover, fleet)
        nursery.start_soon(self._notifier.watchdog_loop)
        if self._notifier.address:
            nursery.start_soon(fleet.report_status)
        return fleet, services

    def _tell_reexec(self, handover: Handover, fleet: FleetRuntime) -> None:
        """It is done: an event, and the answer to who asked for it."""
        workers = sum(one.may_have_child for one in fleet.instances.values())
        told = Reexecuted(handover.version, __version__, os.getpid(), workers)
        duration_s = round(time.monotonic() - handover.asked_at, 3)
        fields = {name: getattr(told, name) for name in told.__struct_fields__}
        self.bus.publish("daemon.reexec", **fields, duration_s=duration_s)
        if handover.fds.client >= 0:
            answer(handover.fds.client, HTTPStatus.OK, told)

    def tell_slept(self, seconds: float) -> None:
        """Nothing ran for so long; the clock has put off all deadlines."""
        self.bus.publish("daemon.slept", "warning", duration_s=round(seconds, 3))

    def _facts(self, spec: Fleet) -> HostFacts:
        """The host's, with what each worker is given of it."""
        facts = self._ids.assign(spec, gather(self._environ), self.bus.publish)
        return self._addresses.assign(spec, facts, self.bus.publish)

    async def _listen(self, nursery: trio.Nursery, fleet: FleetRuntime, socket: str) -> Reexec:
        """Take requests from now on; what shuts the doors again for a re-execution."""
        execution = paths.exec_socket(socket)
        listening = executing = None
        if self._handover is not None:
            listening = sockets.inherited(self._handover.fds.control, socket)
            executing = sockets.inherited(self._handover.fds.execution, execution)
        try:
            control_door = await nursery.start(server.serve, fleet, socket, listening)
            exec_door = await nursery.start(exec_server.serve, fleet, execution, executing)
        except (OSError, SocketTaken) as error:
            if not fleet.services.keepers.adopted:
                await fleet.services.keepers.dismiss()  # it would wait for the next daemon with nothing to give
            raise ListenError(error.strerror if isinstance(error, OSError) else str(error)) from None
        return Reexec(
            fleet,
            program=this_program(),
            environ=self._environ,
            read_config=self._read_config,
            notifier=self._notifier,
            records=self.records,
            locks=self._locks,
            ids=lambda: self._ids.locks.fd,
            doors=(control_door, exec_door),
        )

    def _load_state(self, fd: int) -> tuple[StateFile, dict[str, InstanceState]]:
        """That which the keeper held, or the one before left to us: a keeper that died meanwhile holds none."""
        left = -1 if self._handover is None else self._handover.fds.state
        if fd < 0:
            fd = left
        elif left >= 0:
            os.close(left)
        try:
            state, states = take_over(fd)
        except UnreadableStateError as error:  # what it told of is ended then, before anything is launched
            self.bus.publish("state.unreadable", "error", error=str(error))
            os.close(fd)
            return StateFile(), {}
        if state.damaged:
            self.bus.publish("state.damaged", "error", slots=state.damaged)
        return state, states

    def _surroundings(self, services: Services) -> Surroundings:
        return Surroundings(self._read_config, self._preview, partial(self._follow, services), self._notifier)

    def _preview(self, new: Fleet) -> HostFacts:
        """What a reload would make of the host's facts; nothing is written or locked. ConfigError."""
        if self._metrics is not None:
            self._metrics.refuse_what_cannot_be(new)
        facts = id_book.preview(new, gather(self._environ), self._state)
        return address_book.preview(new, facts, self._state)

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
            elif number == signal.SIGUSR2:
                fleet.services.nursery.start_soon(_reexec, fleet)
            elif number == signal.SIGINT and self._was_asked_to_stop(fleet):
                fleet.hasten()
            else:
                fleet.request_shutdown()

    def _was_asked_to_stop(self, fleet: FleetRuntime) -> bool:
        """Whether this is a second thought: terminal and wrapper may both pass on one Ctrl-C."""
        now = trio.current_time()
        if not fleet.shutdown_requested.is_set():
            self._interrupted_at = now
            return False
        return now - self._interrupted_at >= SECOND_INTERRUPT_S


async def _reload(fleet: FleetRuntime) -> None:
    with suppress(ConfigError, CannotReload):  # it was published; the fleet goes on as it was
        await fleet.reload()


async def _reexec(fleet: FleetRuntime) -> None:
    with suppress(ConfigError, CannotReexecError):  # the same
        if fleet.become is not None:
            await fleet.become(None)
