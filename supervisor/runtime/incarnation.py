"""One incarnation's life: launched or adopted, watched by its pidfd, told about when it has ended."""

import errno
import os
import time
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
    from supervisor.runtime.instance import Instance

KEEPER_TRIES = 3


class Incarnation:
    """`web-0#17`."""

    def __init__(self, instance: "Instance", number: int) -> None:
        self.instance = instance
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
            await services.slots.acquire_on_behalf_of(self)
        slot = trio.Event()  # set when the slot was given back
        if self._doomed:
            if not self._waiting.cancelled_caught:
                services.slots.release_on_behalf_of(self)
            self._tell_exit(ExitRecord(self.number, "interrupted", time.time()), None)
            return
        try:
            await self._launch_and_watch(slot)
        finally:
            if not slot.is_set():
                services.slots.release_on_behalf_of(self)

    async def _launch_and_watch(self, slot: trio.Event) -> None:
        instance, services = self.instance, self.instance.services
        instance.output.begin(self.number)
        try:
            plan = self._plan = compile_plan(instance.worker, instance.index, services.facts)
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
            record = await self._try_keepers(order, writers)
            services.slots.release_on_behalf_of(self)
            slot.set()
            ends = read_output(kept[0], kept[1], instance.output, readers)
            if record.failure is None and record.handed_over_ns is not None:
                self._handed_over(record)
                self._outlive_keepers(readers, kept)
                self._notify.listen(readers, self.pid)
                status = await self._watch()
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
            self._on_phase(record.fail_call(Step("clone"), name, syscall, str(error)))
            self._tell_failure(record, None)
            return None

    def _order(self, plan: Plan, kept: list[int], writers: list[int]) -> LaunchOrder:
        worker, null_fd = self.instance.worker, self.instance.services.null_fd
        return LaunchOrder(
            plan=plan,
            incarnation=self.number,
            stop=(signal_number(worker.stop.signal), worker.stop.grace_s),
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
                if self._doomed:
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
        self._events.phase(phase, doomed=self._doomed)

    def _handed_over(self, record: SetupRecord) -> None:
        self.started_at, self.exec_at = time.time(), (record.handed_over_ns or 0) / 1e9
        self._conclude(record)
        self.instance.handle(HandedOver(self.number))
        self.instance.keep_history()  # the next daemon can explain this launch, and gives its number to no other

    def _tell_failure(self, record: SetupRecord, status: ExitStatus | None) -> None:
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
            status = await self._watch()
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
            stop = self.instance.worker.stop
            rule = (signal_number(stop.signal), stop.grace_s)
            nursery.start_soon(outlive, self.child, kept, rule, self.instance.services.keepers)

    async def _watch(self) -> ExitStatus | None:
        if self.child is None:
            raise RuntimeError("nothing to watch")
        status = await self.child.ended()
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
