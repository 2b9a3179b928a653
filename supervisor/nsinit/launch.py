"""The keeper's side of a launch: join what is to be joined, clone, hand the child over to nsinit."""

from __future__ import annotations

import errno
import os
import select
import time

from supervisor.kernel import clone as flags
from supervisor.kernel import files
from supervisor.kernel import process as kernel
from supervisor.kernel.clocks import monotonic_offset_ns
from supervisor.kernel.clone import clone
from supervisor.kernel.libc import KernelError
from supervisor.kernel.setns import setns
from supervisor.nsinit.channel import Channel
from supervisor.nsinit.child import Descriptors, close_others, run
from supervisor.nsinit.unseal import Seal
from supervisor.wire import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


JOIN_TIMEOUT_MS = 5000  # the keeper waits, and all launches with it
SIGKILL = 9


class Refused(Exception):  # noqa: N818  (it is what the daemon is told)
    """A launch that came to no child: the step that failed, when it began (ns), the errno, the call, the words."""

    def __init__(self, index: int, start: int, number: int, syscall: str, text: str) -> None:
        """All five travel to the daemon as they are."""
        super().__init__(index, start, number, syscall, text)
        self.tokens = (index, start, number, syscall, text)


class Request:
    """One launch as the daemon asked for it: clone's flags, and namespaces to join first as (fd, CLONE_NEW*)."""

    def __init__(
        self,
        given: Descriptors,
        clone_flags: int,
        joins: list[tuple[int, int]],
        cgroup: int | None,
        *,
        hidden: bool = False,
    ) -> None:
        """cgroup: a descriptor of the cgroup directory to be born in, or None. hidden: nothing inside may look at it.

        A process that is not dumpable can be looked at, traced or reopened only by who has CAP_SYS_PTRACE in the user
        namespace of its memory, which is the keeper's until execve, whatever it has joined (ptrace(2)).
        """
        self.given = given
        self.clone_flags = clone_flags
        self.joins = joins
        self.cgroup = cgroup
        self.hidden = hidden
        self.late_joins: tuple[tuple[int, int, int], ...] = ()

    def start(self) -> tuple[int, int]:
        """Clone: (pid, pidfd) of a child that waits for `go`, or Refused."""
        if self.joins or self.hidden:
            return self._start_joined()
        return self._clone(0, self.clone_flags)

    def _clone(
        self, index: int, clone_flags: int, *, clock_offset_ns: int = 0, seal: Seal | None = None
    ) -> tuple[int, int]:
        start = time.monotonic_ns() - clock_offset_ns
        outside = (
            os.geteuid(),
            os.getegid(),
        )  # as seen before clone; after a join, as the joined user namespace sees us
        try:
            if seal is not None and seal.is_closed():
                seal.unshare_user()
                clone_flags &= ~flags.CLONE_NEWUSER
            pid, pidfd = clone(clone_flags, self.cgroup)
        except KernelError as error:
            raise Refused(index, start, error.errno or 0, error.syscall, error.strerror or "") from None
        if pid == 0:
            own = bool(clone_flags & flags.CLONE_NEWPID)
            run(
                self.given,
                outside,
                index + 1,
                start,
                own_pid_namespace=own,
                clock_offset_ns=clock_offset_ns,
                late_joins=self.late_joins,
                hidden=self.hidden,
            )
        return pid, pidfd

    def _start_joined(self) -> tuple[int, int]:
        """By way of a process that joins and clones with CLONE_PARENT: the sandbox is the keeper's own child.

        The keeper could not join itself: entering a user namespace cannot be undone.
        """
        start = time.monotonic_ns()
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            go_between = files.fork()
            if go_between == 0:
                self._go_between(writer)
        except KernelError as error:
            os.close(reader)
            raise Refused(0, start, error.errno or 0, error.syscall, error.strerror or "") from None
        finally:
            os.close(writer)
        answer = _read_in_time(reader)
        os.close(reader)
        os.kill(go_between, SIGKILL)  # our own child, not reaped: done, dead, or stopped by those whom it came among
        os.waitpid(go_between, 0)
        if not answer:
            raise Refused(0, start, errno.ESRCH, "fork", "the process that joins namespaces died, or was stopped there")
        first, *rest = unpack(answer)
        if first != "pid":
            raise Refused(int(first), int(rest[0]), int(rest[1]), rest[2], rest[3])
        pid = int(rest[0])
        return pid, os.pidfd_open(pid)  # our own child, not reaped: the number cannot be another's

    def _go_between(self, writer: int) -> NoReturn:
        try:
            os.write(writer, self._join_and_clone(writer))
        finally:
            os._exit(0)

    def _join_and_clone(self, writer: int) -> bytes:
        frames = Channel(os.dup(self.given.channel))
        seal = Seal()
        try:
            if self.hidden:
                self._hide()
                self._close_others(frames.socket.fileno(), writer)
            for index, (fd, kind) in enumerate(self.joins):
                start = frames.now()
                if not kind:
                    frames.phase(index, start, "skipped")  # the keeper's own: joining it is EINVAL
                    continue
                if kind == flags.CLONE_NEWCGROUP and self.cgroup is not None:
                    self.late_joins += ((index, fd, kind),)  # from inside, clone could not leave the keeper's cgroup
                    continue
                before_ns = monotonic_offset_ns() if kind == flags.CLONE_NEWTIME else 0
                try:
                    setns(fd, kind)
                except KernelError as error:
                    frames.flush()
                    return pack(index, start, error.errno or 0, error.syscall, error.strerror or "")
                self._hide()  # new credentials may have undone it (fs.suid_dumpable)
                if kind == flags.CLONE_NEWUSER and self.clone_flags & kind:
                    seal.joined()
                if kind == flags.CLONE_NEWTIME:  # our own clock is another from here on, and the child's
                    frames.clock_offset_ns += monotonic_offset_ns() - before_ns
                frames.phase(index, start)
            frames.flush()
            clone_flags = self.clone_flags | flags.CLONE_PARENT
            pid, _ = self._clone(len(self.joins), clone_flags, clock_offset_ns=frames.clock_offset_ns, seal=seal)
        except Refused as refused:
            return pack(*refused.tokens)
        return pack("pid", pid)

    def _close_others(self, *others: int) -> None:
        """Nothing of other workers is to come along."""
        given = self.given
        ours = (given.plan, given.channel, given.report, given.keeper, *given.stdio)
        cgroup = () if self.cgroup is None else (self.cgroup,)
        close_others(2, (*ours, *cgroup, *others, *(fd for fd, _ in self.joins)))

    def _hide(self) -> None:
        if self.hidden:
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _read_in_time(reader: int) -> bytes:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    return os.read(reader, 4096) if poll.poll(JOIN_TIMEOUT_MS) else b""
