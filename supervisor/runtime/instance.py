"""One instance: the policy's decisions turned into launches, signals and probes, their outcomes into events.

Everything but the incarnation's own life is synchronous: handle() takes an event, keeps the new status, acts.
"""

import errno
import math
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio
from msgspec.structs import replace

from supervisor.policy.health import Health, Said
from supervisor.policy.restart import (
    LIVE,
    READY_TIMEOUT,
    Action,
    Deadline,
    Event,
    Exited,
    IllegalMove,
    KillTree,
    Launch,
    Probe,
    Report,
    Signal,
    State,
    complete_exit,
    initial,
    rules,
    step,
)
from supervisor.runtime.history import History
from supervisor.runtime.incarnation import Incarnation
from supervisor.runtime.monitor import Monitor
from supervisor.runtime.output import OutputWriter
from supervisor.runtime.services import Services
from supervisor.runtime.state import InstanceState, digest
from supervisor.spec import remedies
from supervisor.spec.forms import signal_number
from supervisor.spec.model import Worker
from supervisor.spec.records import ExitRecord, LaunchRecord, Usual

PAUSABLE = (State.RUNNING, State.READY)


class CannotPause(Exception):  # noqa: N818  (the name says what happened)
    """It cannot be paused, or unpaused, in the state that it is in or on this host: why."""


class Instance:
    """`web-0`. Owned by the fleet, which hears of every change."""

    def __init__(
        self, name: str, index: int, worker: Worker, services: Services, changed: Callable[["Instance"], None]
    ) -> None:
        """index: among the worker's instances; changed: called after each event was handled."""
        self.name = name
        self.index = index
        self.worker = worker
        self.services = services
        self.rules = rules(worker)
        self._digest = digest(worker)
        self.history = History(services.history_directory, name)
        self.status = initial(time.monotonic(), self.history.incarnation)
        self.output = OutputWriter(
            name, services.log_directory, worker.log, services.bus, services.nursery.start_soon, worker.name
        )
        self.incarnation: Incarnation | None = None
        self.monitor = Monitor(self)
        self.next_worker: Worker | None = None  # a reload's, from the next launch on
        self.removed = False
        self.paused_at: float | None = None  # CLOCK_MONOTONIC
        self.leaving = False  # to be stopped, as soon as those that depend on it are down
        self._changed = changed
        self._queue: deque[Event] = deque()
        self._busy = False
        self._timer = trio.CancelScope()
        self._random = random.Random()  # noqa: S311  (jitter)

    @property
    def pid(self) -> int | None:
        """On the host, of the sandbox's first process."""
        return self.incarnation.pid if self.incarnation is not None else None

    @property
    def started_at(self) -> float | None:
        """Wall clock, of the running incarnation's exec."""
        return self.incarnation.started_at if self.incarnation is not None else None

    @property
    def uptime_s(self) -> float | None:
        """Of the running incarnation, since its exec."""
        exec_at = self.incarnation.exec_at if self.incarnation is not None else None
        return None if exec_at is None else time.monotonic() - exec_at

    @property
    def cgroup_path(self) -> str | None:
        """The directory of the present incarnation's cgroup, if it has one."""
        cgroup = self.incarnation.cgroup if self.incarnation is not None else None
        return cgroup.path if cgroup is not None else None

    @property
    def launches(self) -> deque[LaunchRecord]:
        """The last launches, oldest first."""
        return self.history.launches

    @property
    def exits(self) -> deque[ExitRecord]:
        """The last exits, oldest first."""
        return self.history.exits

    @property
    def usual(self) -> Usual | None:
        """What to compare the last launch with."""
        return self.history.usual

    @property
    def log_path(self) -> str | None:
        """Where its output goes, if to a file."""
        return self.output.path

    @property
    def health(self) -> Health | None:
        """By its health probe, while it is ready."""
        return self.monitor.health

    @property
    def said(self) -> Said:
        """By sd_notify(3)."""
        return self.monitor.notices.said

    @property
    def probe_seen(self) -> str | None:
        """By the last probe for readiness, until it is ready."""
        return self.monitor.seen

    async def run_timer(self) -> None:
        """Deliver the one deadline, whenever it has come."""
        while not self.removed:
            with trio.CancelScope() as self._timer:
                self._set_timer()
                await trio.sleep_forever()
            if not self.removed:
                self.handle(Deadline())

    def _set_timer(self) -> None:
        deadline = None if self.paused and self.status.state in PAUSABLE else self.status.deadline
        left_s = math.inf if deadline is None else max(0.0, deadline - time.monotonic())
        self._timer.deadline = trio.current_time() + left_s

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""
        return self.paused_at is not None

    async def pause(self) -> None:
        """Freeze its processes; its deadlines wait as long. CannotPause."""
        current = self.incarnation
        if current is None or self.status.state not in PAUSABLE:
            raise CannotPause(f"cannot pause {self.name}: it is {self.status.state}, not running")
        if self.paused:
            return
        self.paused_at = time.monotonic()
        self.monitor.paused()
        self._set_timer()
        try:
            await current.pause()
        except OSError as error:
            self._resume()
            hint = f"; {remedies.DELEGATED_SCOPE}" if error.errno == errno.ENOTSUP else ""
            raise CannotPause(f"cannot pause {self.name}: {error.strerror or error}{hint}") from None
        if current is self.incarnation and self.paused_at is not None:
            self._tell_pause("worker.paused")

    def unpause(self) -> None:
        """Let them go on. CannotPause."""
        if not self.paused or self.incarnation is None:
            raise CannotPause(f"cannot unpause {self.name}: it is not paused")
        try:
            self.incarnation.unpause()
        except OSError as error:
            raise CannotPause(f"cannot unpause {self.name}: {error.strerror or error}") from None
        self._resume()
        self._tell_pause("worker.unpaused")

    def _resume(self) -> None:
        """The time that it was frozen is added to its deadline."""
        if self.paused_at is not None and self.status.deadline is not None and self.status.state in PAUSABLE:
            deadline = self.status.deadline + time.monotonic() - self.paused_at
            self.status = replace(self.status, deadline=deadline)
        self.paused_at = None
        self.monitor.resumed()
        self._set_timer()

    def _tell_pause(self, event: str) -> None:
        self.save()
        number = self.status.incarnation
        self.services.bus.publish(event, worker=self.worker.name, instance=self.name, incarnation=number)
        self._changed(self)

    def _let_hear(self) -> None:
        """A frozen process does not get the signal that asks it to leave."""
        if self.paused and self.incarnation is not None:
            with suppress(OSError):
                self.incarnation.unpause()
            self.paused_at = None

    def handle(self, event: Event) -> None:
        """Take one event. IllegalMove where the policy has no answer to it; nothing has changed then."""
        self._queue.append(event)
        if self._busy:  # an action's consequence: its turn comes when the action is through
            return
        self._busy = True
        try:
            self._take(self._queue.popleft())
            while self._queue:
                self._take_consequence(self._queue.popleft())
        finally:
            self._busy = False
        self._set_timer()

    def _take_consequence(self, event: Event) -> None:
        """Nobody who asked is left to be told of an illegal one."""
        try:
            self._take(event)
        except IllegalMove as error:
            self.services.bus.publish(
                "worker.event_refused", "warning", worker=self.worker.name, instance=self.name, error=str(error)
            )

    def _take(self, event: Event) -> None:
        if isinstance(event, Exited) and event.incarnation == self.status.incarnation and self.may_have_child:
            event = Exited(event.incarnation, self._note_exit(event.exit))
        status, actions = step(self.status, event, self.rules, time.monotonic(), self._random.random())
        if status is self.status and not actions:
            return
        before, self.status = self.status.state, status
        self.save()
        for action in actions:
            self._do(action)
        if status.state is State.READY and before is not State.READY:
            self.monitor.watch()
        elif status.state is State.STOPPING and before is not State.STOPPING:
            self.monitor.leave_alone()
        self._changed(self)

    def _note_exit(self, record: ExitRecord) -> ExitRecord:
        self.paused_at = None
        record = complete_exit(self.status, record, self.rules)
        if record.requested_by == READY_TIMEOUT:
            record = replace(record, probe=self.monitor.seen)
        self.monitor.begin()
        self.services.publish_exit(self, record)
        self.history.add_exit(record)
        self.keep_history()
        return record

    def keep_history(self) -> None:
        """Write it down: an exit is told once, and must not be lost with the daemon."""
        self.history.save()
        if self.history.error is not None:
            self.services.publish_history_error(self, self.history.error)

    def _do(self, action: Action) -> None:
        match action:
            case Launch(incarnation=number):
                self._adopt_next_spec()
                self.monitor.begin()
                self.incarnation = Incarnation(self, number)
                self.services.nursery.start_soon(self.incarnation.live)
            case Signal(signal=name):
                if self.incarnation is not None:
                    if self.status.state is State.STOPPING:
                        self._let_hear()
                    self.incarnation.send(signal_number(name))
            case KillTree():
                if self.incarnation is not None:
                    self.incarnation.kill()
            case Probe(incarnation=number):
                self.monitor.probe(number)
            case Report(event=event, level=level, fields=fields):
                about = {"incarnation": self.status.incarnation, **fields}
                self.services.bus.publish(event, level, worker=self.worker.name, instance=self.name, **about)

    def _adopt_next_spec(self) -> None:
        if self.next_worker is not None:
            self.respec(self.next_worker)

    def respec(self, worker: Worker) -> None:
        """Follow another spec from now on."""
        self.next_worker = None
        if (worker.name, worker.log) != (self.worker.name, self.worker.log):
            self.output.worker = worker.name
            self.output.configure(worker.log)
        probes = (self.worker.ready, self.worker.health)
        self.worker = worker
        self.rules = rules(worker)
        self._digest = digest(worker)
        if probes != (worker.ready, worker.health):
            self.monitor.follow_reload()

    def save(self) -> None:
        """Keep what the next daemon must know."""
        if self.removed:
            return
        current = self.incarnation
        self.services.state.save(
            InstanceState(
                instance=self.name,
                spec=self._digest,
                status=self.status,
                started_at=current.started_at if current else None,
                exec_at=current.exec_at if current else None,
                paused_at=self.paused_at,
                health=self.monitor.health,
                said=self.monitor.notices.said,
            )
        )

    def tell(self) -> None:
        """Something beside its status has changed."""
        self._changed(self)

    def forget(self) -> None:
        """Leave nothing behind but the log."""
        self.removed = True
        self._timer.cancel()
        self.output.close()
        self.services.state.forget(self.name)
        self.history.remove()

    @property
    def is_up(self) -> bool:
        """Whether those that require it may run."""
        return self.status.state in (State.READY, State.COMPLETED) and not self.leaving

    @property
    def is_healthy(self) -> bool:
        """Whether it is up, and its health probe succeeds if it has one."""
        health = self.monitor.health
        return self.is_up and (health is None or health.state == "healthy")

    @property
    def may_have_child(self) -> bool:
        """Whether a process of it may live."""
        return self.status.state in LIVE

    @property
    def may_lose_requirements(self) -> bool:
        """Whether it is up or about to be, so that it falls with what it requires."""
        return self.status.state in (State.CREATING, State.RUNNING, State.READY, State.BACKOFF)
