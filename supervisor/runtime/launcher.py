"""Launching: plan to sandbox, by way of the keeper, with a record of every phase."""

import errno
import os
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import partial

import msgspec
import trio

from supervisor.kernel import clone as flags
from supervisor.kernel.libc import KernelError
from supervisor.runtime.cgroup import Cgroup
from supervisor.runtime.grants import grant
from supervisor.runtime.id_maps import write_maps
from supervisor.runtime.joins import JoinError, Pids, open_joins
from supervisor.runtime.keeper_link import ExitStatus, KeeperGoneError, KeeperLink, Refused, close_all
from supervisor.runtime.mount_maps import map_mount
from supervisor.runtime.plan_file import PlanFile
from supervisor.runtime.setup_record import SetupRecord
from supervisor.sandbox.hints import SETUP_TIMEOUT
from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts
from supervisor.spec.records import PhaseRecord
from supervisor.wire import pack, unpack

FRAME_BYTES = 65536

OnPhase = Callable[[PhaseRecord], None]
OnTerminal = Callable[[int], None]
# Answers one kind of need of a child: takes the child, the need's detail and the descriptors that came with it (closed
# by the caller); gives a descriptor for the child, or None. OSError is told to the child, whose phase fails with its
# errno and its words.
Answer = Callable[["Child", str, list[int]], Awaitable[int | None]]


class Child(msgspec.Struct):
    """A sandbox's first process, alive or not yet forgotten."""

    name: str  # web-0#17
    pid: int
    pidfd: int
    keeper: KeeperLink

    async def exited(self) -> ExitStatus | None:
        """Wait until it has ended: its status, or None where its keeper is gone and nobody knows."""
        await trio.lowlevel.wait_readable(self.pidfd)
        return await self.keeper.exit_status(self.name)

    def close(self) -> None:
        """Let go of the pidfd."""
        os.close(self.pidfd)


class LaunchOrder(msgspec.Struct):
    """One launch."""

    plan: Plan
    incarnation: int
    stop: tuple[int, float]  # signal number and grace in seconds: the keeper's, should it have to
    stdio: tuple[int, int, int]
    keep: list[int]  # held by the keeper for the next daemon
    timeout_s: float
    on_phase: OnPhase
    on_child: Callable[[Child], None]  # as soon as it is known, which is before it does anything
    on_terminal: OnTerminal | None = None  # takes the pty's master
    needs: dict[str, Answer] = msgspec.field(default_factory=dict)  # beside idmap, terminal and hold
    cgroup_fd: int = -1  # the directory of the cgroup to be born in; the caller's still
    cgroup: Cgroup | None = None  # instead: to be made first, as the plan's cgroup.create says; the caller removes it
    hidden: bool = False  # others live in what it joins: nsinit is not dumpable until it executes
    part: str = ""  # of the incarnation: a command executed in it

    @property
    def name(self) -> str:
        """Of the incarnation, or of a part of it."""
        return f"{self.plan.instance}#{self.incarnation}{'/' if self.part else ''}{self.part}"


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
    except OSError as error:
        close_all(join_fds)
        _refuse(record, Refused(len(join_fds), time.monotonic_ns(), error.errno or 0, "", str(error)), order.on_phase)
        return record, None
    try:
        fds = {"plan": [plan.fd], "channel": [theirs.fileno()], "stdio": list(order.stdio)}
        fds |= {"keep": order.keep, "join": join_fds, "cgroup": [order.cgroup_fd] if order.cgroup_fd >= 0 else []}
        clone_flags = flags.CLONE_NEWUSER * order.plan.new_user | flags.CLONE_NEWPID * order.plan.new_pid
        # Said ahead, to save the child a wait for this process. Should the keeper die before its answer is here, so
        # does the child: its first phase ties it to the keeper. Should this process die, the keeper has the child.
        _say(ours, "go")
        hidden = order.hidden or order.plan.is_watched
        try:
            pid, pidfd = await keeper.launch(order.name, clone_flags, order.stop, fds, join_kinds, hidden=hidden)
        except Refused as refused:
            theirs.close()
            _drain_joins(ours, record, order.on_phase)
            _refuse(record, refused, order.on_phase)
            return record, None
        theirs.close()
        child = Child(order.name, pid, pidfd, keeper)
        order.on_child(child)
        ours.setblocking(False)
        try:
            with trio.move_on_after(order.timeout_s) as scope:
                await _build(ours, record, order, child, facts, plan)
            if scope.cancelled_caught:
                text = f"the set-up time-out of {order.timeout_s:g} s is over"
                _stopped(plan, record, order.on_phase, SETUP_TIMEOUT, text)
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
    """Both ends of a channel, and the plan's file. OSError (EMFILE, ENOMEM): none is open then."""
    with ExitStack() as opened:
        ours, theirs = map(opened.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        file = PlanFile(plan)
        opened.pop_all()
    return ours, theirs, file


def _refuse(record: SetupRecord, refused: Refused, on_phase: OnPhase) -> None:
    step = record.plan.steps[record.plan.ahead + refused.index]
    name = errno.errorcode.get(refused.number, "")
    end = max(refused.start_ns, record.requested_ns)
    on_phase(record.fail(step, refused.start_ns, end, name, refused.syscall, refused.text))


def _drain_joins(ours: socket.socket, record: SetupRecord, on_phase: OnPhase) -> None:
    """Take the frames of the joins that went well before the refusal."""
    ours.setblocking(False)
    while True:
        try:
            data = ours.recv(FRAME_BYTES)
        except OSError:
            return
        if not data:
            return
        for phase in record.frame(unpack(data)):
            on_phase(phase)


def _stopped(plan: PlanFile, record: SetupRecord, on_phase: OnPhase, errno_name: str, message: str) -> None:
    """Tell in which phase the sandbox was stopped, after what it had done and not told."""
    tokens = plan.untold()
    told = len(record.phases) - record.plan.ahead
    while len(tokens) > 1 and int(tokens[1]) < told:  # it was about to note that it had told them
        del tokens[1:8]
    for phase in record.frame(tokens) if tokens else ():
        on_phase(phase)
    if record.failure is None:
        on_phase(record.fail_unfinished(errno_name=errno_name, message=message))


async def _build(
    ours: socket.socket, record: SetupRecord, order: LaunchOrder, child: Child, facts: HostFacts, plan: PlanFile
) -> None:
    """Take frames, answer needs, until the end of the channel: handed over, failed, or dead."""
    while True:
        try:
            data, control, _, _ = ours.recvmsg(FRAME_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(ours)
            continue
        except ConnectionResetError:  # it died with our last message unread; told once, before what it had said
            continue
        if not data:
            break
        tokens = unpack(data)
        if tokens[0] == "need":
            fds = [fd for _, _, value in control for (fd,) in struct.iter_unpack("i", value)]
            await _answer(ours, tokens[1], tokens[2], fds, order, child, facts)
        elif tokens[0] == "exec":
            record.frame(tokens)
        else:
            for phase in record.frame(tokens):
                if phase is not record.failure:
                    order.on_phase(phase)
            if record.failure is not None:
                break
    if record.failure is not None:
        if (record.failure.syscall, record.failure.errno) == ("prctl", "ESRCH"):
            await _raise_if_keeper_died(child)  # so says the child, and then it is tried again and has not failed
        order.on_phase(record.failure)
    else:
        if record.handed_over_ns is not None:
            order.on_phase(record.phases[-1])
            return
        status = await _raise_if_keeper_died(child)
        cause = status.signal or f"exit code {status.code}"
        _stopped(plan, record, order.on_phase, status.signal or "", f"the process died of {cause}")


async def _raise_if_keeper_died(child: Child) -> ExitStatus:
    """Wait for the exit of a child that is about to: its status. KeeperGoneError where nobody knows it any more."""
    status = await child.exited()
    if status is None:
        raise KeeperGoneError("it died during the launch, and the sandbox with it")
    return status


async def _answer(
    ours: socket.socket, what: str, detail: str, fds: list[int], order: LaunchOrder, child: Child, facts: HostFacts
) -> None:
    """Give up where the child dies meanwhile: a helper may hang, and the child's number may become another's."""
    given: int | None = None
    try:
        if what == "idmap":
            await _while_it_lives(child, partial(write_maps, child.pid, order.plan, facts))
        elif what == "terminal" and order.on_terminal is not None:
            order.on_terminal(fds.pop())
        elif what == "hold":
            await child.keeper.hold_lock(child.name, fds[0])
        elif what == "mount.idmap" and fds:
            map_mount(fds[0], child.pid, detail)
        elif what == "limits" and fds:
            grant(detail, fds[0], order.plan, facts)
        elif (answer := order.needs.get(what)) is not None:
            given = await _while_it_lives(child, partial(answer, child, detail, fds))
        else:
            raise OSError(errno.EINVAL, f"nobody answers the need {what!r}")  # noqa: TRY301
    except OSError as error:
        _say(ours, "done", error.errno or errno.EIO, error.strerror or str(error))
    else:
        _say(ours, "done", 0, "", fd=given)
    finally:
        close_all(fds if given is None else [*fds, given])


async def _while_it_lives(child: Child, answer: Callable[[], Awaitable[int | None]]) -> int | None:
    failure: OSError | None = None
    given: int | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at_exit, child, nursery.cancel_scope)
        try:
            given = await answer()
        except OSError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return given


async def _cancel_at_exit(child: Child, scope: trio.CancelScope) -> None:
    await trio.lowlevel.wait_readable(child.pidfd)
    scope.cancel()


def _say(ours: socket.socket, *tokens: str | int, fd: int | None = None) -> None:
    """Send; a sandbox that died is noticed by the end of its channel."""
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
    with suppress(OSError):
        ours.sendmsg([pack(*tokens)], rights, socket.MSG_NOSIGNAL)


def send_signal(pidfd: int, number: int) -> bool:
    """Send a signal through a pidfd; False where the process has ended, or has become another user (set-user-ID)."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


__all__ = ["Child", "KeeperGoneError", "LaunchOrder", "launch", "send_signal"]
