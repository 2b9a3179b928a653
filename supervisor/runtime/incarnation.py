"""One incarnation's life: launched or adopted, watched by its pidfd, told about when it has ended."""

import errno
import os
import select
import time
from functools import partial
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from supervisor.policy.restart import Adopted, Exited, HandedOver, State
from supervisor.runtime import notify_socket
from supervisor.runtime.capture import capture, open_pipes, unread_bytes
from supervisor.runtime.cgroup import Cgroup, Figures, with_figures
from supervisor.runtime.keeper_link import ExitStatus, HeldWorker, KeeperGoneError, KeeperLink
from supervisor.runtime.kill import kill_tree
from supervisor.runtime.launcher import Child, LaunchOrder, launch, send_signal
from supervisor.runtime.network import Network
from supervisor.runtime.output import Stream
from supervisor.runtime.secrets import answer_secrets
from supervisor.runtime.setup_record import SetupRecord
from supervisor.runtime.sigsys import explain_sigsys
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.notify import socket_path
from supervisor.sandbox.plan import Plan, Step, compile_plan
from supervisor.spec.forms import signal_number
from supervisor.spec.instances import notify_variables
from supervisor.spec.records import Cause, ExitRecord, PhaseRecord

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance

DRAIN_S = 1.0  # after the exit, for output that a process outside the sandbox may hold open
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
        self._notify_fd = -1  # where it says that it is ready, and more
        self._verbose = instance.status.failures > 0 or not instance.launches or instance.launches[-1].outcome != "ok"

    @property
    def pid(self) -> int | None:
        """On the host."""
        return self.child.pid if self.child is not None else None

    @property
    def _name(self) -> str:
        return f"{self.instance.name}#{self.number}"

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
            self._after_failure(record, None)
            return
        try:
            pipes = open_pipes()
        except OSError as error:
            record = SetupRecord(plan, self.number, services.facts)
            now = time.monotonic_ns()
            self._on_phase(record.fail(Step("clone"), now, now, _errno_name(error), "pipe2", str(error)))
            self._after_failure(record, None)
            return
        stdout, stdout_writer, stderr, stderr_writer = pipes
        kept = [stdout, stderr]
        try:
            kept += self._open_notify()
        except OSError as error:
            record = SetupRecord(plan, self.number, services.facts)
            now = time.monotonic_ns()
            self._on_phase(record.fail(Step("clone"), now, now, _errno_name(error), "bind", str(error)))
            for fd in (*pipes, *([self._notify_fd] if self._notify_fd >= 0 else [])):
                os.close(fd)
            self._after_failure(record, None)
            return
        order = LaunchOrder(
            plan=plan,
            incarnation=self.number,
            stop=(signal_number(instance.worker.stop.signal), instance.worker.stop.grace_s),
            stdio=(services.null_fd, stdout_writer, stderr_writer),
            keep=kept,
            timeout_s=instance.worker.setup_timeout_s,
            on_phase=self._on_phase,
            on_child=self._on_child,
            needs={
                "secret": answer_secrets(instance.worker, instance.index, os.environ),
                "notify": self._answer_notify,
            },
        )
        async with trio.open_nursery() as readers:
            self._network = Network(instance.worker, instance.index, services.facts, readers, self)
            order.needs["network"] = self._network.attach
            record = await self._try_keepers(order, [stdout_writer, stderr_writer])
            services.slots.release_on_behalf_of(self)
            slot.set()
            ends = self._read_output(readers, stdout, stderr)
            if record.failure is None and record.handed_over_ns is not None:
                self._handed_over(record)
                self._listen(readers)
                status = await self._watch()
                await self._drain(ends)
                await self._exited(status)
            else:
                failed_status = await self._watch() if self.child is not None else None
                await self._network.end()
                await self._leave_cgroup()
                await self._drain(ends)
                self._after_failure(record, failed_status)
            readers.cancel_scope.cancel()
        await self._let_go(kept)

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
                        order.cgroup = self.cgroup = services.keepers.cgroups.cgroup(self._name)
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
                now = time.monotonic_ns()
                self._on_phase(
                    record.fail(order.plan.steps[order.plan.ahead], now, now, "ECONNRESET", "", f"no keeper: {reason}")
                )
        finally:
            for fd in writers:
                os.close(fd)
        return record

    def _on_child(self, child: Child) -> None:
        self.child = child
        if self._doomed:
            self.kill()

    def _on_phase(self, phase: PhaseRecord) -> None:
        level = "debug"
        if phase.outcome in ("failed", "pending"):
            level = "info" if self._doomed else "error"
        elif self._verbose:
            level = "info"
        optional = {key: value for key in ("errno", "syscall", "message", "hint") if (value := getattr(phase, key))}
        self.instance.services.bus.publish(
            "setup.phase",
            level,
            worker=self.instance.worker.name,
            instance=self.instance.name,
            incarnation=self.number,
            phase=phase.phase,
            detail=phase.detail,
            duration_us=phase.duration_us,
            outcome=phase.outcome,
            **optional,
        )

    def _handed_over(self, record: SetupRecord) -> None:
        self.started_at, self.exec_at = time.time(), (record.handed_over_ns or 0) / 1e9
        self._conclude(record, "setup.completed", "info")
        self.instance.handle(HandedOver(self.number))
        self.instance.keep_history()  # the next daemon can explain this launch, and gives its number to no other

    def _conclude(self, record: SetupRecord, event: str, level: str) -> None:
        whole = record.finished()
        self.instance.history.add_launch(whole)
        self.instance.services.bus.publish(
            event,
            level,
            worker=self.instance.worker.name,
            instance=self.instance.name,
            incarnation=self.number,
            duration_us=whole.duration_us,
            phases_us={phase.phase: phase.duration_us for phase in whole.phases},
        )

    def _after_failure(self, record: SetupRecord, status: ExitStatus | None) -> None:
        failure = record.failure
        self._conclude(record, "setup.failed", "info" if self._doomed else "error")
        cause: Cause = "setup-timeout" if failure is not None and failure.outcome == "pending" else "setup"
        self._tell_exit(
            ExitRecord(
                incarnation=self.number,
                cause=cause,
                ended_at=time.time(),
                phase=failure.phase if failure else None,
                errno=failure.errno if failure else None,
                hint=failure.hint if failure else None,
                stderr_tail=self.instance.output.tail("stderr"),
            ),
            status,
        )

    # -- adopted ----------------------------------------------------------------------------------------------------

    def adopt(self, held: HeldWorker, keeper: KeeperLink, started_at: float | None, exec_at: float | None) -> None:
        """Take over an incarnation that an earlier daemon launched. resume() must follow."""
        instance = self.instance
        self.child = Child(held.name, held.pid, held.pidfd, keeper)
        cgroup = instance.services.keepers.cgroups.cgroup(held.name)
        self.cgroup = cgroup if cgroup is not None and cgroup.is_there() else None
        self._own_pid_namespace = False  # the configuration may have been another when it was launched
        if self.cgroup is not None and self.cgroup.is_frozen():
            instance.paused_at = instance.paused_at or time.monotonic()
            instance.monitor.paused()
        else:
            instance.paused_at = None
        self.started_at, self.exec_at = started_at, exec_at
        instance.output.incarnation = self.number
        if held.exit is not None or instance.status.state is State.CREATING:
            return
        instance.services.bus.publish(
            "worker.adopted",
            worker=instance.worker.name,
            instance=instance.name,
            incarnation=self.number,
            pid=held.pid,
        )
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
            ends = self._read_output(readers, *held.kept[:2])
            if len(held.kept) > 2 and not interrupted:
                self._notify_fd = held.kept[2]
                self._listen(readers)
            if interrupted:  # its channel broke with its daemon; how far it had come, nobody knows
                self.kill()
            status = await self._watch()
            await self._drain(ends)
            if interrupted:
                self._tell_exit(ExitRecord(self.number, "interrupted", time.time()), status)
            else:
                await self._exited(status)
            readers.cancel_scope.cancel()
        await self._let_go(held.kept)

    # -- both -------------------------------------------------------------------------------------------------------

    def _open_notify(self) -> list[int]:
        """The socket for sd_notify(3), where it is asked for. OSError."""
        worker = self.instance.worker
        if notify_variables(worker) is None:
            return []
        self._notify_fd = notify_socket.open_socket()
        if worker.namespaces.mount is not True:
            notify_socket.bind(self._notify_fd, socket_path(self.instance.services.facts, self.instance.name))
        return [self._notify_fd]

    async def _answer_notify(self, _child: Child, _detail: str, _fds: list[int]) -> int:
        await trio.lowlevel.checkpoint()
        return os.dup(self._notify_fd)

    def _listen(self, readers: trio.Nursery) -> None:
        if self._notify_fd >= 0 and self.pid is not None:
            private = self.instance.worker.namespaces.mount is True
            listen = partial(self.instance.monitor.notices.listen, private=private)
            readers.start_soon(listen, self._notify_fd, self.number, self.pid)

    def _read_output(self, readers: trio.Nursery, *fds: int) -> list[trio.Event]:
        ends = []
        streams: tuple[Stream, Stream] = ("stdout", "stderr")
        for fd, stream in zip(fds, streams, strict=True):
            os.set_blocking(fd, False)
            ends.append(trio.Event())
            readers.start_soon(self._capture, fd, stream, ends[-1])
        return ends

    async def _capture(self, fd: int, stream: Stream, end: trio.Event) -> None:
        try:
            await capture(fd, stream, self.instance.output)
        finally:
            self.instance.output.flush(stream)
            end.set()

    async def _watch(self) -> ExitStatus | None:
        if self.child is None:
            raise RuntimeError("nothing to watch")
        status = await self.child.exited()
        self.instance.output.hurry()
        if self._network is not None:
            await self._network.end()  # before the next one binds its ports
        await self._leave_cgroup()
        return status

    def network_said(self, line: str, *, up: bool) -> None:
        """A line of the log of what connects its network."""
        self._publish("network.output", "info" if up else "debug", line=line)

    def network_failed(self, why: str) -> None:
        """Kill it: cut off from what it serves it would look well to itself and to us."""
        if self.child is None or self.child.keeper.gone.is_set() or _has_ended(self.child):
            return  # both have ended, one as the other's consequence
        self._network_failed = why
        self._publish("network.failed", "error", error=why)
        kill_tree(self.child, own_pid_namespace=self._own_pid_namespace, cgroup=self.cgroup)

    def _publish(self, event: str, level: str, **fields: object) -> None:
        worker, name = self.instance.worker.name, self.instance.name
        self.instance.services.bus.publish(
            event, level, worker=worker, instance=name, incarnation=self.number, **fields
        )

    async def _leave_cgroup(self) -> None:
        """End what is left in it, whatever its parent or its death signal; keep its figures; remove it."""
        if self.cgroup is None:
            return
        cgroup, self.cgroup = self.cgroup, None
        self._figures = await cgroup.finish()
        if cgroup.is_there():
            self.instance.services.bus.publish(
                "cgroup.busy",
                "error",
                worker=self.instance.worker.name,
                instance=self.instance.name,
                incarnation=self.number,
                path=cgroup.path,
            )

    async def _drain(self, ends: list[trio.Event]) -> None:
        with trio.move_on_after(DRAIN_S):
            for end in ends:
                await end.wait()

    async def _exited(self, status: ExitStatus | None) -> None:
        cause: Cause = "unknown" if status is None else "signal" if status.signal else "exit"
        if status is not None and self._network_failed is not None:
            cause = "network"
        uptime_s = time.monotonic() - self.exec_at if self.exec_at is not None else 0.0
        record = ExitRecord(
            incarnation=self.number,
            cause=cause,
            ended_at=time.time(),
            uptime_s=uptime_s,
            code=status.code if status else None,
            signal=status.signal if status else None,
            core_dumped=status.core_dumped if status else False,
            reason=self._network_failed,
            stderr_tail=self.instance.output.tail("stderr"),
        )
        if record.signal == "SIGSYS":
            call, hint = await explain_sigsys(record.ended_at, self._plan, self.instance.services.facts)
            record = replace(record, syscall=call, hint=hint)
        self._tell_exit(record, status)

    def _tell_exit(self, record: ExitRecord, status: ExitStatus | None) -> None:
        if status is not None:
            record = replace(record, rusage=status.rusage)
        record = with_figures(record, self._figures)
        if self.instance.incarnation is self:
            self.instance.incarnation = None
        self.instance.handle(Exited(self.number, record))

    async def _let_go(self, fds: list[int]) -> None:
        """Only now, that the exit is told and the state kept: let the keeper forget."""
        self.instance.output.leave_unread(sum(map(unread_bytes, fds)))
        for fd in fds:
            os.close(fd)
        if self.child is not None:
            await self.child.keeper.acknowledge(self.child.name)
            self.child.close()


def no_plan(instance: str, error: PlanError) -> Plan:
    """What stands for a plan that could not be made: the phase that it was about."""
    return Plan(
        instance=instance,
        steps=(Step(error.phase, error.detail),),
        joins=(),
        new_user=False,
        new_pid=False,
        uid_map=(),
        gid_map=(),
    )


def _has_ended(child: Child) -> bool:
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _errno_name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")
