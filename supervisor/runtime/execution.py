"""A command executed in the sandbox of a running worker, for a client that is connected: `web-0#17/exec-3`."""

import errno
import itertools
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import trio

from supervisor.policy.restart import State
from supervisor.runtime.cgroup import Cgroup
from supervisor.runtime.child import Child, send_signal
from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.incarnation import Incarnation
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.kill import kill_tree
from supervisor.runtime.launch_order import LaunchOrder
from supervisor.runtime.launcher import launch
from supervisor.runtime.setup_record import SetupRecord, no_plan
from supervisor.sandbox.exec_plan import Command, compile_exec
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.steps.cgroup import cgroup_steps
from supervisor.spec.records import PhaseRecord

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance

PART = "exec-"  # of the name in the keeper
PROBE = "probe-"  # the same, of a probe: nobody's client, told by what it finds, in a cgroup of its own
HANGUP_GRACE_S = 1.0  # between SIGHUP and SIGKILL
LAST_BREATH_S = 0.1
MOST_EARLY = 64  # signals
PIDFD_SIGNAL_PROCESS_GROUP = 4  # Linux 6.9
UP = (State.RUNNING, State.READY)

_numbers = itertools.count(1)


class NotUpError(Exception):
    """There is no sandbox to enter: "cannot exec in …"."""


class SetupError(Exception):
    """The command was not executed: the phase that failed."""

    def __init__(self, failure: PhaseRecord) -> None:
        super().__init__(failure.message or "")
        self.failure = failure


class Caller(NamedTuple):
    """Who asked, by SO_PEERCRED."""

    pid: int
    uid: int


class Execution:
    """One of them. Bound to the incarnation that lives when it is made: NotUpError where none does."""

    def __init__(self, instance: "Instance", command: Command, caller: Caller, part: str = PART) -> None:
        current = instance.incarnation
        if current is None or current.child is None or current.exec_at is None or instance.status.state not in UP:
            raise NotUpError(f"cannot exec in {instance.name}: it is {instance.status.state.value}")
        if instance.paused:  # the command would be frozen, too
            raise NotUpError(f"cannot exec in {instance.name}: it is paused; nsvisor unpause {instance.name}")
        self.instance = instance
        self.command = command
        self.caller = caller
        self._part = part
        self._cgroup: Cgroup | None = None  # a probe's
        self.number = next(_numbers)
        self.incarnation = current.number
        self.child: Child | None = None
        self.why: str | None = None  # it did not end by itself
        self._early: list[int] = []  # signals that came before the keeper's answer: the command may run already
        self._current: Incarnation = current
        self._worker_pidfd = os.dup(current.child.pidfd)
        self._worker_ended = trio.Event()
        self._begun = time.monotonic()

    async def start(self, stdio: tuple[int, int, int], on_terminal: Callable[[int], None]) -> int:
        """Execute it: its pid on the host. SetupError. stdio are the caller's still; the terminal's master is not."""
        services = self.instance.services
        try:
            plan = compile_exec(self._current.instance.worker, self.instance.index, services.facts, self.command)
        except PlanError as error:
            record = SetupRecord(no_plan(self.instance.name, error), self.incarnation, services.facts)
            raise self._failed(record.fail_plan(error)) from None
        order = LaunchOrder(
            plan=plan,
            incarnation=self.incarnation,
            stop=(signal.SIGHUP, HANGUP_GRACE_S),
            stdio=stdio,
            keep=[services.null_fd, services.null_fd],  # as many as of a worker: the next daemon ends it
            timeout_s=self.instance.worker.setup_timeout_s,
            on_phase=lambda _: None,
            on_child=self._on_child,
            on_terminal=on_terminal,
            hidden=True,
            part=f"{self._part}{self.number}",
        )
        record = SetupRecord(plan, self.incarnation, services.facts)
        now = time.monotonic_ns()
        try:
            if self._part == PROBE:
                order.cgroup_fd = self._make_cgroup()
            elif self._current.cgroup is not None:
                order.cgroup_fd = os.open(self._current.cgroup.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            record, _ = await launch(order, await services.keepers.current(), services.facts, self._pids)
        except KeeperGoneError as error:
            record.fail(plan.steps[0], now, now, "ECONNRESET", "", f"no keeper: {error}")
        except OSError as error:  # the worker has ended, and its cgroup is gone
            record.fail(plan.steps[0], now, now, errno.errorcode.get(error.errno or 0, ""), "openat", str(error))
        finally:
            if order.cgroup_fd >= 0:
                os.close(order.cgroup_fd)
        if record.failure is not None or self.child is None:
            await self._until_reaped()
            await self.end()
            raise self._failed(record.failure or record.fail_unfinished(errno_name="", message="it was not forked"))
        self._publish(
            "exec.started",
            "info",
            pid=self.child.pid,
            command=list(self.command.words),
            terminal=self.command.terminal,
            duration_us=record.finished().duration_us,
            by_uid=self.caller.uid,
            by_pid=self.caller.pid,
        )
        return self.child.pid

    def _make_cgroup(self) -> int:
        """With the worker's own limits; a descriptor of it, or -1 where there are no cgroups. OSError."""
        instance, tree = self.instance, self.instance.services.keepers.cgroups
        cgroup = tree.cgroup(f"{instance.name}#{self.incarnation}-{self._part}{self.number}")
        if self._current.cgroup is None or cgroup is None:
            return -1
        try:
            steps = cgroup_steps(instance.worker, instance.services.facts)
        except PlanError:  # the worker was launched where there was more
            steps = []
        words = [str(word) for step in steps for word in step.arguments]
        cgroup.create(list(zip(words[::2], words[1::2], strict=True)))
        self._cgroup = cgroup
        return os.dup(cgroup.fd)

    async def end(self) -> None:
        """Kill it and all that it has left behind, and wait until they are gone."""
        if self.child is not None:
            kill_tree(self.child, own_pid_namespace=False, cgroup=self._cgroup)
            await self._until_reaped()
        if self._cgroup is not None:
            self._cgroup.close()
            await self._cgroup.finish()
            self._cgroup = None

    def _on_child(self, child: Child) -> None:
        self.child = child
        if self.why is not None:
            kill_tree(child, own_pid_namespace=False)
        for number in self._early:
            send_signal(child.pidfd, number)
        self._early.clear()

    def _pids(self, name: str) -> tuple[int, int]:
        current = self._current
        if self.instance.incarnation is not current or current.child is None:
            raise ProcessLookupError(3, f"{name} has ended")
        return current.child.pid, current.child.pidfd

    def _failed(self, failure: PhaseRecord) -> SetupError:
        optional = {key: value for key in ("errno", "syscall", "message", "hint") if (value := getattr(failure, key))}
        self._publish(
            "exec.failed",
            "warning",
            command=list(self.command.words),
            phase=failure.phase,
            detail=failure.detail,
            by_uid=self.caller.uid,
            by_pid=self.caller.pid,
            **optional,
        )
        return SetupError(failure)

    async def wait(self) -> ExitStatus | None:
        """Wait for its end, which is the sandbox's at the latest: its status, None where the keeper died."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_with_worker)
            status = await self._until_reaped()
            if status is not None and status.signal == "SIGKILL" and self.why is None:
                with trio.move_on_after(LAST_BREATH_S):  # a pid namespace's PID 1 ends after all others
                    await self._worker_ended.wait()
            nursery.cancel_scope.cancel()
        ending = {} if status is None else {"signal": status.signal} if status.signal else {"code": status.code}
        why = {"why": self.why} if self.why else {}
        self._publish("exec.exited", "info", **ending, **why, uptime_s=round(self.uptime_s, 3))
        return status

    @property
    def uptime_s(self) -> float:
        """Since it was asked for."""
        return time.monotonic() - self._begun

    async def _until_reaped(self) -> ExitStatus | None:
        if self.child is None:
            return None
        status = await self.child.exited()
        await self.child.keeper.acknowledge(self.child.name)
        self.child.close()
        self.child = None
        return status

    async def _end_with_worker(self) -> None:
        """With the worker's own pid namespace the kernel has killed it by now."""
        await trio.lowlevel.wait_readable(self._worker_pidfd)
        self.why = self.why or "worker"
        self._worker_ended.set()
        if self.child is not None:
            kill_tree(self.child, own_pid_namespace=False)

    def signal(self, number: int) -> None:
        """Send a signal to the command, as soon as there is one."""
        if self.child is not None:
            send_signal(self.child.pidfd, number)
        elif len(self._early) < MOST_EARLY:
            self._early.append(number)

    async def hang_up(self) -> None:
        """End it, for its client has gone: SIGHUP to its process group, then SIGKILL to it and all below it."""
        self.why = self.why or "hangup"
        if self.child is None:
            return
        try:
            signal.pidfd_send_signal(self.child.pidfd, signal.SIGHUP, None, PIDFD_SIGNAL_PROCESS_GROUP)
        except OSError:  # EINVAL: an older kernel
            send_signal(self.child.pidfd, signal.SIGHUP)
        await trio.sleep(HANGUP_GRACE_S)
        if self.child is not None:
            kill_tree(self.child, own_pid_namespace=False)

    def close(self) -> None:
        """Let go of the descriptors."""
        with suppress(OSError):
            os.close(self._worker_pidfd)

    def _publish(self, event: str, level: str, **fields: object) -> None:
        if self._part == PROBE:
            return
        self.instance.services.bus.publish(
            event,
            level,
            worker=self.instance.worker.name,
            instance=self.instance.name,
            incarnation=self.incarnation,
            exec=self.number,
            **fields,
        )
