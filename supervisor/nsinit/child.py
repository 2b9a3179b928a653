"""nsinit: the forked process that builds one sandbox, phase by phase, and stays as its PID 1 or execs."""

from __future__ import annotations

import gc
import os

from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.kernel.setns import setns
from supervisor.kernel.title import set_title
from supervisor.nsinit.box import Box
from supervisor.nsinit.channel import Channel
from supervisor.nsinit.operations.table import OPERATIONS
from supervisor.nsinit.untold import Untold
from supervisor.wire import decode_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from supervisor.nsinit.ahead import Done

SETUP_FAILED = 125
# Phases that look up the user's paths, which may lie on a server that is gone; and the fork, after which two speak.
MAY_BLOCK = ("rootfs.prepare", "mount.bind", "mount.overlay", "init.fork", "cwd.enter", "id.user", "lock.landlock")
HARMLESS = {"cwd.enter": "/", "id.user": ""}  # their last argument where nothing is looked up


class Descriptors:
    """What one launch is given."""

    def __init__(self, plan: int, channel: int, stdio: tuple[int, int, int], report: int, keeper: int) -> None:
        """plan: a memfd; report: where PID 1 writes the workload's status; keeper: a pidfd."""
        self.plan = plan
        self.channel = channel
        self.stdio = stdio
        self.report = report
        self.keeper = keeper

    def keep_only_these(self, *others: int) -> None:
        """Close all that was the keeper's: other workers' pipes, its sockets, its pidfds."""
        for number, fd in enumerate(self.stdio):
            os.dup2(fd, number, inheritable=True)
        close_others(2, (self.plan, self.channel, self.report, self.keeper, *others))


def close_others(below: int, kept: tuple[int, ...]) -> None:
    """Close every descriptor above `below` but these."""
    for fd in sorted(kept):
        if fd > below + 1:
            kernel.close_range(below + 1, fd - 1)
        below = fd
    kernel.close_range(below + 1, 0xFFFFFFFF)


def run(
    given: Descriptors,
    outside: tuple[int, int],
    first: int,
    cloned_at: int,
    *,
    own_pid_namespace: bool,
    note: str = "",
    clock_offset_ns: int = 0,
    late_joins: tuple[tuple[int, int, int], ...] = (),
    hidden: bool = False,
    begun: tuple[Box, list[Done]] | None = None,
) -> NoReturn:
    """Build the sandbox from step `first` on (the one before it is `clone`, with a note for it). Never returns.

    clock_offset_ns: of a time namespace that was joined. late_joins: index, descriptor and kind of what is joined
    here. hidden: see Box. begun: what was done ahead of the launch, from step `first` on.
    """
    try:
        gc.disable()  # a collection would write to every page shared with the keeper
        if hidden:
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        box, done = begun or (Box(given.report, given.keeper, outside), [])
        given.keep_only_these(*(fd for _, fd, _ in late_joins), *box.mounts)
        channel = box.channel = Channel(given.channel)
        channel.clock_offset_ns = clock_offset_ns
        box.owns_pid_namespace = own_pid_namespace
        box.hidden = hidden
        set_title("nsinit")
        steps = _read_plan(given.plan, channel)
        channel.wait_go()
        channel.phase(first - 1, cloned_at, text=note)
        for index, one in enumerate(done, first):
            channel.phase(index, channel.now(), one.outcome, text=one.text)
        if _join_late(channel, late_joins):
            _interpret(box, steps, first + len(done))
    finally:
        os._exit(SETUP_FAILED)


def _join_late(channel: Channel, joins: tuple[tuple[int, int, int], ...]) -> bool:
    """Join what must not be joined before clone; false where it failed, and was told."""
    for index, fd, kind in joins:
        start = channel.now()
        try:
            setns(fd, kind)
        except KernelError as error:
            channel.phase(index, start, "failed", error.errno or 0, error.syscall, error.strerror or "")
            channel.flush()
            return False
        os.close(fd)
        channel.phase(index, start)
    return True


def _read_plan(fd: int, channel: Channel) -> list[tuple[str, list[str]]]:
    try:
        size = os.fstat(fd).st_size
        channel.untold = Untold(fd, size)
        return decode_plan(os.pread(fd, size, 0))
    finally:
        os.close(fd)


def _interpret(box: Box, steps: list[tuple[str, list[str]]], first: int) -> None:
    start = box.channel.now()
    try:
        for index in range(first, len(steps)):
            box.index = index
            phase, arguments = steps[index]
            if phase in MAY_BLOCK and arguments[-1:] != [HARMLESS.get(phase)]:
                box.channel.flush()
            start = box.channel.now()
            note = OPERATIONS[phase](box, *arguments)
            if note == "skipped":
                box.channel.phase(index, start, "skipped")
            else:
                box.channel.phase(index, start, text=note or "")
    except KernelError as error:
        subject = f"{error.filename}: " if error.filename else ""
        text = f"{subject}{error.strerror}"
        if box.hidden and subject.startswith("/proc/self/"):
            text += ": others live in the user namespace that it joins, so it is not dumpable"
        box.channel.phase(box.index, start, "failed", error.errno or 0, error.syscall, text)
    except Exception as error:  # noqa: BLE001  (it is told, and this process ends)
        number = getattr(error, "errno", None) or 0
        box.channel.phase(box.index, start, "failed", number, "", f"{type(error).__name__}: {error}")
    box.channel.flush()
