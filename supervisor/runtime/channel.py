"""The daemon's end of a sandbox's channel: frames taken until it is handed over, has failed or is dead."""

import errno
import math
import socket
import struct
import time
from contextlib import suppress
from functools import partial

import trio

from supervisor.runtime.child import Child
from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.keeper_socket import close_all
from supervisor.runtime.launch_order import LaunchOrder, OnPhase
from supervisor.runtime.needs import answer
from supervisor.runtime.plan_file import PlanFile
from supervisor.runtime.setup_record import SetupRecord
from supervisor.spec.facts import HostFacts
from supervisor.wire import pack, unpack

FRAME_BYTES = 65536


async def build(
    ours: socket.socket,
    record: SetupRecord,
    order: LaunchOrder,
    child: Child,
    facts: HostFacts,
    plan: PlanFile,
    clock: trio.CancelScope,
) -> None:
    """Take frames, answer needs, until the end of the channel: handed over, failed, or dead.

    clock: the set-up time-out, which stands still while a standby waits for its turn.
    """
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
        if tokens[0] == "need" and tokens[1] == "standby" and order.on_hold is not None:
            clock.deadline = math.inf
            order.on_hold(partial(_let_go_on, ours, order, record, clock), record)
        elif tokens[0] == "need":
            fds = [fd for _, _, value in control for (fd,) in struct.iter_unpack("i", value)]
            await _meet(ours, tokens[1], tokens[2], fds, order, child, facts)
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
        stopped(plan, record, order.on_phase, status.signal or "", f"the process died of {cause}")


def _let_go_on(ours: socket.socket, order: LaunchOrder, record: SetupRecord, clock: trio.CancelScope) -> None:
    """First of all, and without a turn of the event loop: somebody waits for what it will do."""
    say(ours, "done", 0, "")
    clock.deadline = trio.current_time() + order.timeout_s
    record.requested_at = time.time()


async def _raise_if_keeper_died(child: Child) -> ExitStatus:
    """Wait for the exit of a child that is about to: its status. KeeperGoneError where nobody knows it any more."""
    status = await child.exited()
    if status is None:
        raise KeeperGoneError("it died during the launch, and the sandbox with it")
    return status


async def _meet(
    ours: socket.socket, what: str, detail: str, fds: list[int], order: LaunchOrder, child: Child, facts: HostFacts
) -> None:
    """Answer one need, and say so."""
    given: int | None = None
    try:
        given = await answer(what, detail, fds, order, child, facts)
    except OSError as error:
        say(ours, "done", error.errno or errno.EIO, error.strerror or str(error))
    else:
        say(ours, "done", 0, "", fd=given)
    finally:
        close_all(fds if given is None else [*fds, given])


def stopped(plan: PlanFile, record: SetupRecord, on_phase: OnPhase, errno_name: str, message: str) -> None:
    """Tell in which phase the sandbox was stopped, after what it had done and not told."""
    tokens = plan.untold()
    told = len(record.phases) - record.plan.ahead
    while len(tokens) > 1 and int(tokens[1]) < told:  # it was about to note that it had told them
        del tokens[1:8]
    for phase in record.frame(tokens) if tokens else ():
        on_phase(phase)
    if record.failure is None:
        on_phase(record.fail_unfinished(errno_name=errno_name, message=message))


def drain_joins(ours: socket.socket, record: SetupRecord, on_phase: OnPhase) -> None:
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


def say(ours: socket.socket, *tokens: str | int, fd: int | None = None) -> None:
    """Send; a sandbox that died is noticed by the end of its channel."""
    rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
    with suppress(OSError):
        ours.sendmsg([pack(*tokens)], rights, socket.MSG_NOSIGNAL)
