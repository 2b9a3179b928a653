"""One instance: the policy's decisions turned into launches, signals and probes, their outcomes into events.

Everything but the incarnation's own life is synchronous: handle() takes an event, keeps the new status, acts.
"""

import math
import random
import signal
import time
from collections import deque
from collections.abc import Callable

import trio
from msgspec.structs import replace

from supervisor.policy.restart import (
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
from supervisor.runtime.instance_view import InstanceView
from supervisor.runtime.monitor import Monitor
from supervisor.runtime.output import OutputWriter
from supervisor.runtime.pausing import Pausing
from supervisor.runtime.services import Services
from supervisor.runtime.spec_digest import digest
from supervisor.runtime.state import InstanceState
from supervisor.spec.forms import signal_number
from supervisor.spec.model import Worker
from supervisor.spec.records import ExitRecord

STOPPERS = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU")


class Instance(InstanceView):
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
            name,
            services.log_directory,
            worker.log,
            services.bus,
            services.nursery.start_soon,
            worker.name,
            services.unwritten.of(name),
        )
        self.incarnation: Incarnation | None = None
        self.monitor = Monitor(self)
        self.next_worker: Worker | None = None  # a reload's, from the next launch on
        self.removed = False
        self.pausing = Pausing(self)
        self.leaving = False  # to be stopped, as soon as those that depend on it are down
        self._changed = changed
        self._queue: deque[Event] = deque()
        self._busy = False
        self._timer = trio.CancelScope()
        self._random = random.Random()  # noqa: S311  (jitter)

    async def run_timer(self) -> None:
        """Deliver the one deadline, whenever it has come."""
        while not self.removed:
            with trio.CancelScope() as self._timer:
                self.set_timer()
                await trio.sleep_forever()
            if not self.removed:
                self.handle(Deadline())

    def set_timer(self) -> None:
        """For its deadline, which may be another now."""
        deadline = None if self.pausing.holds_deadline else self.status.deadline
        left_s = math.inf if deadline is None else max(0.0, deadline - time.monotonic())
        self._timer.deadline = trio.current_time() + left_s

    async def pause(self) -> None:
        """Freeze its processes; its deadlines wait as long. CannotPause."""
        await self.pausing.pause()

    def unpause(self) -> None:
        """Let them go on. CannotPause."""
        self.pausing.unpause()

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
        self.set_timer()

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
        self.pausing.since = None
        if (known := self.history.exit_of(record.incarnation)) is not None:
            self.monitor.begin()
            return known
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
                self.services.slots.enqueue(self.incarnation)
                self.services.nursery.start_soon(self.incarnation.live)
            case Signal(signal=name):
                if self.incarnation is not None:
                    if self.status.state is State.STOPPING:
                        self.pausing.let_hear()
                    self.incarnation.send(signal_number(name))
                    if self.status.state is State.STOPPING and name not in STOPPERS:
                        self.incarnation.send(signal.SIGCONT)  # a stopped process hears only SIGKILL, as systemd knows
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
                paused_at=self.pausing.since,
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
        self.services.unwritten.forget(self.name)
        self.history.remove()
