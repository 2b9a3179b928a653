"""One instance: the policy's decisions turned into launches, signals and probes, their outcomes into events.

Everything but the incarnation's own life is synchronous: handle() takes an event, keeps the new status, acts.
"""

import math
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

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
    Status,
    complete_exit,
    initial,
    rules,
    step,
)
from supervisor.runtime.exit_record import below_static_init
from supervisor.runtime.history import History
from supervisor.runtime.incarnation import Incarnation
from supervisor.runtime.instance_view import InstanceView
from supervisor.runtime.monitor import Monitor
from supervisor.runtime.output import OutputWriter
from supervisor.runtime.pausing import Pausing
from supervisor.runtime.services import Services
from supervisor.runtime.spec_digest import digest
from supervisor.runtime.standby import Standby
from supervisor.runtime.state import InstanceState
from supervisor.spec.forms import signal_number
from supervisor.spec.model import Worker
from supervisor.spec.records import ExitRecord

STOPPERS = ("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU")


class Decided(NamedTuple):
    """What the policy made of an exit before all was known that is to be told of it."""

    incarnation: int  # that has ended
    before: Status
    actions: tuple[Action, ...]  # still to be done


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
        self.standby = Standby(self)
        self._decided: Decided | None = None
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

    def decide(self, record: ExitRecord) -> None:
        """Have the standby go on in the place of an incarnation that has ended, where the policy says so at once.

        handle() must follow with the whole record. Until then the state that is kept tells of the one that has ended:
        a daemon that dies in between has not lost the exit, and the next one launches anew.
        """
        if self._busy or self._decided is not None or record.incarnation != self.status.incarnation:
            return
        completed = complete_exit(self.status, record, self.rules)
        now = time.monotonic()
        status, actions = step(
            self.status, Exited(record.incarnation, completed), self.rules, now, self._random.random()
        )
        if not any(isinstance(action, Launch) for action in actions):
            return
        ahead = self.standby.take(status.incarnation)
        if ahead is None:
            return
        self._decided = Decided(record.incarnation, self.status, actions)
        self.status, self.incarnation = status, ahead
        self.set_timer()

    def _settle(self, decided: Decided, record: ExitRecord) -> None:
        """All that a decided exit leads to, now that it is wholly known."""
        self._note_exit(record, decided.before)
        self._decided = None
        self.save()
        for action in decided.actions:
            self._do(action)
        self.standby.follow()
        self._changed(self)

    def _take(self, event: Event) -> None:
        decided = self._decided
        if decided is not None and isinstance(event, Exited) and event.incarnation == decided.incarnation:
            self._settle(decided, event.exit)
            return
        if isinstance(event, Exited) and event.incarnation == self.status.incarnation and self.may_have_child:
            event = Exited(event.incarnation, self._note_exit(event.exit, self.status))
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
        self.standby.follow()
        self._changed(self)

    def _note_exit(self, record: ExitRecord, status: Status) -> ExitRecord:
        """status: before it."""
        self.pausing.since = None
        if (known := self.history.exit_of(record.incarnation)) is not None:
            self.monitor.begin()
            return known
        if self.worker.init == "static":
            record = below_static_init(record)
        record = complete_exit(status, record, self.rules)
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
                self._launch(number)
            case Signal(signal=name):
                if self.incarnation is not None and self.status.state is State.STOPPING:
                    self._ask_to_stop(self.incarnation, name)
                elif self.incarnation is not None:
                    self.incarnation.send(signal_number(name))
            case KillTree():
                if self.incarnation is not None:
                    self.incarnation.kill()
            case Probe(incarnation=number):
                self.monitor.probe(number)
            case Report(event=event, level=level, fields=fields):
                about = {"incarnation": self.status.incarnation, **fields}
                self.services.bus.publish(event, level, worker=self.worker.name, instance=self.name, **about)

    def _launch(self, number: int) -> None:
        current = self.incarnation
        if current is None or current.number != number:  # else it was decided on before
            current = self.standby.take(number)
        self._adopt_next_spec()
        self.monitor.begin()
        if current is not None:
            self.incarnation = current
            current.told()
            return
        self.incarnation = Incarnation(self, number)
        self.services.slots.enqueue(self.incarnation)
        self.services.nursery.start_soon(self.incarnation.live)

    def _ask_to_stop(self, incarnation: Incarnation, name: str) -> None:
        self.pausing.let_hear()
        incarnation.send(signal_number(name))
        if name not in STOPPERS:
            incarnation.send(signal.SIGCONT)  # a stopped process hears only SIGKILL, as systemd knows
        if not incarnation.asked_to_stop:
            incarnation.asked_to_stop = True
            self.save()  # again: a daemon that dies between the two has not sent it

    def catch_up_with_stop(self) -> None:
        """Send the stop signal that an earlier daemon had decided on, and was killed before it sent it.

        Killed just after it had sent it, before it could note so, it is sent twice.
        """
        current, status = self.incarnation, self.status
        if current is not None and status.state is State.STOPPING and not (status.killed or current.asked_to_stop):
            self._ask_to_stop(current, self.rules.stop_signal)

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
        if self.removed or self._decided is not None:
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
                asked_to_stop=current is not None and current.asked_to_stop,
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
        self.standby.follow()
        self._timer.cancel()
        self.output.close()
        self.services.state.forget(self.name)
        self.services.unwritten.forget(self.name)
        self.history.remove()
