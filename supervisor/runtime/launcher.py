"""Launching: plan to sandbox, by way of the keeper, with a record of every phase."""

import errno
import signal
import socket
import time
from contextlib import ExitStack

import trio

from supervisor.kernel import clone as flags
from supervisor.kernel.libc import KernelError
from supervisor.runtime.channel import build, drain_joins, say, stopped
from supervisor.runtime.child import Child, send_signal
from supervisor.runtime.joins import JoinError, Pids, open_joins
from supervisor.runtime.keeper_errors import Refused
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keeper_socket import close_all
from supervisor.runtime.launch_order import LaunchOrder, OnPhase
from supervisor.runtime.plan_file import PlanFile
from supervisor.runtime.setup_record import SetupRecord
from supervisor.sandbox.hints import SETUP_TIMEOUT
from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts


async def launch(
    order: LaunchOrder, keeper: KeeperLink, facts: HostFacts, pids: Pids
) -> tuple[SetupRecord, Child | None]:
    """Build one sandbox: its record, and its first process where one was forked; the record says whether it failed.

    KeeperGoneError where the keeper died before the end of it: nothing lives then, another may be asked.
    """
    record = SetupRecord(order.plan, order.incarnation, facts)
    if order.plan.ahead and not _create_cgroup(order, record):
        return record, None
    try:
        return await _launch(order, record, keeper, facts, pids)
    finally:
        if order.cgroup is not None:
            order.cgroup.close()


def _create_cgroup(order: LaunchOrder, record: SetupRecord) -> bool:
    """The daemon's own phase, before there is anybody to be born in it."""
    step = order.plan.steps[0]
    start = time.monotonic_ns()
    if order.cgroup is None:
        order.on_phase(record.done(step, start, "skipped"))
        return True
    words = [str(word) for word in step.arguments]
    try:
        order.cgroup.create(list(zip(words[::2], words[1::2], strict=True)))
    except KernelError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        text = f"{error.filename or order.cgroup.path}: {error.strerror}"
        order.on_phase(record.fail(step, start, time.monotonic_ns(), name, error.syscall, text))
        return False
    order.cgroup_fd = order.cgroup.fd
    order.on_phase(record.done(step, start))
    return True


async def _launch(
    order: LaunchOrder, record: SetupRecord, keeper: KeeperLink, facts: HostFacts, pids: Pids
) -> tuple[SetupRecord, Child | None]:
    try:
        join_fds, join_kinds = open_joins(order.plan.joins, pids)
    except JoinError as error:
        step = order.plan.steps[order.plan.ahead + error.index]
        name = errno.errorcode.get(error.error.errno or 0, "")
        order.on_phase(record.fail(step, record.requested_ns, record.requested_ns, name, "open", str(error)))
        return record, None
    try:
        ours, theirs, plan = _channel_and_plan(order.plan)
    except KernelError as error:
        close_all(join_fds)
        words = error.errno or 0, error.syscall, error.strerror or ""
        _refuse(record, Refused(len(join_fds), time.monotonic_ns(), *words), order.on_phase)
        return record, None
    try:
        fds = {"plan": [plan.fd], "channel": [theirs.fileno()], "stdio": list(order.stdio)}
        fds |= {"keep": order.keep, "join": join_fds, "cgroup": [order.cgroup_fd] if order.cgroup_fd >= 0 else []}
        clone_flags = flags.CLONE_NEWUSER * order.plan.new_user | flags.CLONE_NEWPID * order.plan.new_pid
        # Said ahead, to save the child a wait for this process. Should the keeper die before its answer is here, so
        # does the child: its first phase ties it to the keeper. Should this process die, the keeper has the child.
        say(ours, "go")
        hidden = order.hidden or order.plan.is_watched
        try:
            pid, pidfd = await keeper.launch(
                order.name, clone_flags, order.stop, fds, join_kinds, hidden=hidden, released=order.plan.is_released
            )
        except Refused as refused:
            theirs.close()
            drain_joins(ours, record, order.on_phase)
            _refuse(record, refused, order.on_phase)
            return record, None
        theirs.close()
        child = Child(order.name, pid, pidfd, keeper, keeper.take_report(order.name))
        order.on_child(child)
        ours.setblocking(False)
        try:
            with trio.move_on_after(order.timeout_s) as scope:
                await build(ours, record, order, child, facts, plan, scope)
            if scope.cancelled_caught:
                text = f"the set-up time-out of {order.timeout_s:g} s is over"
                stopped(plan, record, order.on_phase, SETUP_TIMEOUT, text)
        except BaseException:
            send_signal(child.pidfd, signal.SIGKILL)
            raise
        if record.failure is not None:
            send_signal(child.pidfd, signal.SIGKILL)  # a workload's process may have failed below a PID 1 that lives
        return record, child
    finally:
        ours.close()
        theirs.close()
        plan.close()
        close_all(join_fds)


def _channel_and_plan(plan: Plan) -> tuple[socket.socket, socket.socket, PlanFile]:
    """Both ends of a channel, and the plan's file. KernelError (EMFILE, ENOMEM): none is open then."""
    syscall = "socketpair"
    try:
        with ExitStack() as opened:
            ours, theirs = map(opened.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            syscall = "memfd_create"
            file = PlanFile(plan)
            opened.pop_all()
    except OSError as error:
        raise KernelError(error.errno or 0, syscall) from None
    return ours, theirs, file


def _refuse(record: SetupRecord, refused: Refused, on_phase: OnPhase) -> None:
    step = record.plan.steps[record.plan.ahead + refused.index]
    name = errno.errorcode.get(refused.number, "")
    end = max(refused.start_ns, record.requested_ns)
    on_phase(record.fail(step, refused.start_ns, end, name, refused.syscall, refused.text))
