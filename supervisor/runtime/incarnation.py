"""One incarnation's life: launched or adopted, watched by its pidfd, told about when it has ended."""

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from supervisor.policy.restart import Adopted, Exited, HandedOver, State
from supervisor.runtime import exit_record
from supervisor.runtime.capture import open_pipes, unread_bytes
from supervisor.runtime.cgroup import Cgroup, Figures
from supervisor.runtime.child import Child, send_signal
from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.incarnation_events import IncarnationEvents
from supervisor.runtime.incarnation_notify import IncarnationNotify
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.kill import kill_tree, owns_pid_namespace
from supervisor.runtime.launch_order import LaunchOrder
from supervisor.runtime.launcher import launch
from supervisor.runtime.network import Network
from supervisor.runtime.orphans import outlive
from supervisor.runtime.output_readers import drained, read_output
from supervisor.runtime.secrets import answer_secrets
from supervisor.runtime.setup_record import SetupRecord, no_plan
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import Plan, Step, compile_plan
from supervisor.spec.forms import signal_number
from supervisor.spec.records import ExitRecord, PhaseRecord

if TYPE_CHECKING:
    from supervisor.runtime.ahead import Ahead
    from supervisor.runtime.instance import Instance

KEEPER_TRIES = 3


class Incarnation:
    """`web-0#17`."""

    def __init__(self, instance: "Instance", number: int, ahead: "Ahead | None" = None) -> None:
        """ahead: it is built before its time."""
        self.instance = instance
        self._ahead = ahead
        self.number = number
        self.child: Child | None = None
        self._own_pid_namespace = instance.worker.namespaces.pid is True
        self.started_at: float | None = None  # wall clock of its exec
        self.exec_at: float | None = None  # the same, CLOCK_MONOTONIC
        self.cgroup: Cgroup | None = None
        self._network: Network | None = None
        self._network_failed: str | None = None  # why
        self._figures = Figures()  # of its cgroup, once it has ended
        self._plan: Plan | None = None  # as launched, by this daemon
        self.asked_to_stop = False  # the signal was sent
        self._doomed = False  # killed before there was anything to kill
        self._waiting = trio.CancelScope()  # for a launch slot
        self._notify = IncarnationNotify(instance, number)
        self._events = IncarnationEvents(instance, number)

    @property
    def pid(self) -> int | None:
        """On the host."""
        return self.child.pid if self.child is not None else None

    def send(self, number: int) -> None:
        """Send a signal to the workload, by way of PID 1."""
        if self.child is not None:
            send_signal(self.child.pidfd, number)

    async def pause(self) -> None:
        """Freeze all of its processes. OSError."""
        if self.cgroup is None:
            raise OSError(errno.ENOTSUP, "it has no cgroup, and only a cgroup can be frozen")
        await self.cgroup.freeze()

    def unpause(self) -> None:
        """Let them go on. OSError."""
        if self.cgroup is not None:
            self.cgroup.thaw()

    def kill(self) -> None:
        """End all of its processes, or its launch where there are none yet."""
        self._doomed = True
        self._waiting.cancel()
        if self.child is not None:
            kill_tree(self.child, own_pid_namespace=self._own_pid_namespace, cgroup=self.cgroup)

    # -- launched ---------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Launch, watch, tell. The events of the end always come, whatever happens before."""
        services = self.instance.services
        with self._waiting:
            if self._ahead is not None:
                await services.slots.acquire_when_idle(self)
            else:
                await services.slots.acquire_on_behalf_of(self)
        slot = trio.Event()  # set when the slot was given back
        if self._doomed:
            if not self._waiting.cancelled_caught:
                services.slots.release_on_behalf_of(self)
            if self._ahead is not None:
                return
            self._tell_exit(ExitRecord(self.number, "interrupted", time.time()), None)
            return
        try:
            await self._launch_and_watch(slot)
        finally:
            self._give_back(slot)

    async def _launch_and_watch(self, slot: trio.Event) -> None:
        instance, services = self.instance, self.instance.services
        if self._ahead is None:
            await instance.standby.gone()  # it may bear this one's number
            instance.output.begin(self.number)
        try:
            standby = self._ahead is not None
            plan = self._plan = compile_plan(instance.worker, instance.index, services.facts, standby=standby)
        except PlanError as error:
            record = SetupRecord(no_plan(instance.name, error), self.number, services.facts)
            self._on_phase(record.fail_plan(error))
            self._tell_failure(record, None)
            return
        opened = self._open_descriptors(plan)
        if opened is None:
            return
        kept, writers = opened
        order = self._order(plan, kept, writers)
        async with trio.open_nursery() as readers:
            self._network = Network(instance.worker, instance.index, services.facts, readers, self)
            order.needs["network"] = self._network.attach
            if self._ahead is not None:
                order.on_hold = partial(self._hold, self._ahead, slot)
            record = await self._try_keepers(order, writers)
            self._give_back(slot)
            if await self._has_begun(record):
                ends = read_output(kept[0], kept[1], instance.output, readers)
                if record.failure is None and record.handed_over_ns is not None:
                    self._handed_over(record)
                    self._outlive_keepers(readers, kept)
                    self._notify.listen(readers, self.pid)
                    status = await self._watch(tell=True)
                    await drained(ends)
                    await self._exited(status)
                else:
                    failed_status = await self._watch() if self.child is not None else None
                    await self._network.end()
                    await self._leave_cgroup()
                    await drained(ends)
                    self._tell_failure(record, failed_status)
            readers.cancel_scope.cancel()
        await self._let_go(kept)

    async def _has_begun(self, record: SetupRecord) -> bool:
        """Whether it is an incarnation, or was a standby that is over."""
        if self._ahead is None:
            return True
        if await self._ahead.begun():
            self.instance.output.begin(self.number)
            return True
        self._ahead.unused(record)
        if self.child is not None:
            self.kill()
            await self.child.ended()
        if self._network is not None:
            await self._network.end()
        await self._leave_cgroup()
        return False

    def _give_back(self, slot: trio.Event) -> None:
        if not slot.is_set():
            slot.set()
            self.instance.services.slots.release_on_behalf_of(self)

    def _hold(self, ahead: "Ahead", slot: trio.Event, go: Callable[[], None], record: SetupRecord) -> None:
        self._give_back(slot)
        ahead.hold(go, record)

    def told(self) -> None:
        """Of one that was built ahead: what came before it was told, and it may tell of itself."""
        if self._ahead is not None:
            self._ahead.tell()

    def _open_descriptors(self, plan: Plan) -> tuple[list[int], list[int]] | None:
        """Our ends of its pipes and its notify socket, and its ends of the pipes. None: the failure was told."""
        pipes: tuple[int, ...] = ()
        syscall = "pipe2"
        try:
            pipes = stdout, stdout_writer, stderr, stderr_writer = open_pipes()
            syscall = "bind"
            return [stdout, stderr, *self._notify.open()], [stdout_writer, stderr_writer]
        except OSError as error:
            for fd in pipes:
                os.close(fd)
            record = SetupRecord(plan, self.number, self.instance.services.facts)
            name = errno.errorcode.get(error.errno or 0, "")
            self._on_phase(record.fail_call(Step("clone"), name, syscall, error.strerror or str(error)))
            self._tell_failure(record, None)
            return None

    def _order(self, plan: Plan, kept: list[int], writers: list[int]) -> LaunchOrder:
        worker, null_fd = self.instance.worker, self.instance.services.null_fd
        return LaunchOrder(
            plan=plan,
            incarnation=self.number,
            stop=self._stop_rule(),
            stdio=(null_fd, writers[0], writers[1]),
            keep=kept,
            timeout_s=worker.setup_timeout_s,
            on_phase=self._on_phase,
            on_child=self._on_child,
            needs={
                "secret": answer_secrets(worker, self.instance.index, os.environ),
                "notify": self._notify.answer,
                "release": self._release,
            },
        )

    async def _release(self, _child: Child, _detail: str, _fds: list[int]) -> None:
        """The need `release`: it may outlive its keeper. OSError where it must not."""
        await trio.lowlevel.checkpoint()
        if self.cgroup is None or not self.instance.services.keepers.ends_orphans:  # the keeper was replaced meanwhile
            raise OSError(errno.ENOTSUP, "it has no cgroup in a service manager's scope")

    async def _try_keepers(self, order: LaunchOrder, writers: list[int]) -> SetupRecord:
        """Launch; where the keeper dies under it, so does the sandbox: ask the replacement."""
        services = self.instance.services
        record: SetupRecord | None = None
        try:
            for _ in range(KEEPER_TRIES):
                try:
                    keeper = await services.keepers.current()
                    if order.plan.ahead:
                        await self._leave_cgroup()  # of a try before
                        order.cgroup = self.cgroup = services.keepers.cgroups.cgroup(order.name)
                    record, _ = await launch(order, keeper, services.facts, services.pids)
                    break
                except KeeperGoneError as error:
                    reason = str(error)
                    if self.child is not None:
                        self.child.close()
                        self.child = None
                if self._doomed or self._ahead is not None:  # the next standby will be of the next keeper
                    break
            if record is None:
                record = SetupRecord(order.plan, self.number, services.facts)
                step = order.plan.steps[order.plan.ahead]
                self._on_phase(record.fail_call(step, "ECONNRESET", "", f"no keeper: {reason}"))
        finally:
            for fd in writers:
                os.close(fd)
        return record

    def _on_child(self, child: Child) -> None:
        self.child = child
        if self._doomed:
            self.kill()

    def _on_phase(self, phase: PhaseRecord) -> None:
        ahead = self._ahead is not None and not self._ahead.has_gone
        self._events.phase(phase, doomed=self._doomed, ahead=ahead)

    def _handed_over(self, record: SetupRecord) -> None:
        self.started_at, self.exec_at = time.time(), (record.handed_over_ns or 0) / 1e9
        self._conclude(record)
        self.instance.handle(HandedOver(self.number))
        self.instance.keep_history()  # the next daemon can explain this launch, and gives its number to no other

    def _tell_failure(self, record: SetupRecord, status: ExitStatus | None) -> None:
        if self._ahead is not None and not self._ahead.has_gone:
            self._ahead.unused(record)
            return
        self._conclude(record)
        tail = self.instance.output.tail("stderr")
        self._tell_exit(exit_record.failed_launch(record, tail, doomed=self._doomed), status)

    def _conclude(self, record: SetupRecord) -> None:
        whole = record.finished()
        self.instance.history.add_launch(whole)
        self._events.launched(whole, doomed=self._doomed)

    # -- adopted ----------------------------------------------------------------------------------------------------

    def adopt(self, held: HeldWorker, keeper: KeeperLink, started_at: float | None, exec_at: float | None) -> None:
        """Take over an incarnation that an earlier daemon launched. resume() must follow."""
        instance = self.instance
        self.child = Child(held.name, held.pid, held.pidfd, held.keeper or keeper, held.report)
        cgroup = instance.services.keepers.cgroup_of(held.name)
        self.cgroup = cgroup if cgroup is not None and cgroup.is_there() else None
        self._own_pid_namespace = owns_pid_namespace(self.child)  # the configuration may have been another then
        instance.pausing.adopt(self.cgroup)
        self.started_at, self.exec_at = started_at, exec_at
        instance.output.incarnation = self.number
        if held.exit is not None or instance.status.state is State.CREATING:
            return
        self._events.publish("worker.adopted", pid=held.pid)
        instance.handle(Adopted(self.number, ready=instance.status.ready_at is not None))
        if instance.status.state is State.READY:
            instance.monitor.watch()

    async def resume(self, held: HeldWorker, helper: HeldWorker | None = None) -> None:
        """Go on with it, and with the program beside it that connects its network."""
        instance = self.instance
        interrupted = instance.status.state is State.CREATING
        async with trio.open_nursery() as readers:
            self._network = Network(instance.worker, instance.index, instance.services.facts, readers, self)
            self._network.adopt_port(held.name)
            if helper is not None and self.child is not None:
                self._network.adopt(helper, self.child.keeper)
            ends = read_output(held.kept[0], held.kept[1], instance.output, readers)
            if len(held.kept) > 2:
                self._notify.adopt(held.kept[2])
            if interrupted:  # its channel broke with its daemon; how far it had come, nobody knows
                self.kill()
            else:
                self._outlive_keepers(readers, held.kept)
                self._notify.listen(readers, self.pid)
            status = await self._watch(tell=not interrupted)
            await drained(ends)
            if interrupted:
                self._tell_exit(ExitRecord(self.number, "interrupted", time.time()), status)
            else:
                await self._exited(status)
            readers.cancel_scope.cancel()
        await self._let_go(held.kept)

    # -- both -------------------------------------------------------------------------------------------------------

    def _outlive_keepers(self, nursery: trio.Nursery, kept: list[int]) -> None:
        if self.child is not None and self.child.report >= 0:
            nursery.start_soon(outlive, self.child, kept, self._stop_rule, self.instance.services.keepers)

    def _stop_rule(self) -> tuple[int, float]:
        stop = self.instance.worker.stop
        return signal_number(stop.signal), stop.grace_s

    async def _watch(self, *, tell: bool = False) -> ExitStatus | None:
        """Wait for its end. tell: a standby is to go on at once, before all else that is to be done about an exit."""
        if self.child is None:
            raise RuntimeError("nothing to watch")
        await trio.lowlevel.wait_readable(self.child.pidfd)
        self.instance.standby.look()  # while the keeper reaps
        status = await self.child.ended()
        if tell and self._own_pid_namespace and self.instance.standby.mark == "ready":  # its whole tree is gone
            self.instance.decide(
                exit_record.at_once(self.number, status, self.exec_at, self._network_failed, self.cgroup)
            )
        await self.instance.services.turns.take()
        self.instance.output.hurry()
        if self._network is not None:
            await self._network.end()  # before the next one binds its ports
        await self._leave_cgroup()
        return status

    def network_said(self, line: str, *, up: bool) -> None:
        """A line of the log of what connects its network."""
        self._events.publish("network.output", "info" if up else "debug", line=line)

    def network_failed(self, why: str) -> None:
        """Kill it: cut off from what it serves it would look well to itself and to us."""
        if self.child is None or self.child.keeper.gone.is_set() or self.child.has_ended():
            return  # both have ended, one as the other's consequence
        self._network_failed = why
        self._events.publish("network.failed", "error", error=why)
        kill_tree(self.child, own_pid_namespace=self._own_pid_namespace, cgroup=self.cgroup)

    async def _leave_cgroup(self) -> None:
        """End what is left in it, whatever its parent or its death signal; keep its figures; remove it."""
        if self.cgroup is None:
            return
        cgroup, self.cgroup = self.cgroup, None
        self._figures = await cgroup.finish()
        if cgroup.is_there():
            self._events.publish("cgroup.busy", "error", path=cgroup.path)

    async def _exited(self, status: ExitStatus | None) -> None:
        await self.instance.services.turns.take()
        record = await exit_record.ended(
            self.number,
            status,
            self.exec_at,
            self._network_failed,
            self.instance.output.tail("stderr"),
            self._plan,
            self.instance.services.facts,
        )
        self._tell_exit(record, status)

    def _tell_exit(self, record: ExitRecord, status: ExitStatus | None) -> None:
        if self.instance.incarnation is self:
            self.instance.incarnation = None
        self.instance.handle(Exited(self.number, exit_record.with_usage(record, status, self._figures)))

    async def _let_go(self, fds: list[int]) -> None:
        """Only now, that the exit is told and the state kept: let the keeper forget."""
        self.instance.output.leave_unread(sum(map(unread_bytes, fds[:2])))
        await self._notify.drain()
        for fd in fds:
            os.close(fd)
        if self.child is not None:
            await self.child.keeper.acknowledge(self.child.name)
            self.child.close()
