"""The first process of a launch: the one that was cloned ahead where it fits, else one cloned now."""

from __future__ import annotations

import contextlib
import os

from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.ahead import Mounts, common, leading
from supervisor.nsinit.child import Descriptors
from supervisor.nsinit.launch import Refused, Request
from supervisor.nsinit.spare import FLAGS, Spare
from supervisor.wire import decode_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.nsinit.ahead import Step
    from supervisor.nsinit.watch import Watch


class Forks:
    """The spare, and what all that is forked inherits."""

    def __init__(self, watch: Watch, *, ahead: bool) -> None:
        """ahead: clone the next launch's process before it is asked for."""
        self.wants_spare = ahead
        self._ahead = ahead
        self._watch = watch
        self._spare: Spare | None = None
        self._mounts: Mounts | None = None  # of the host, while a spare has a copy of them
        self._last: list[Step] | None = None  # of the last plan, what could have been done ahead
        self._wanted: list[Step] = []  # what the next spare is to do
        self._self_pidfd = os.pidfd_open(os.getpid())
        self._has_keyring = False
        self._leave_login_keyring()

    def _leave_login_keyring(self) -> None:
        """Join an empty keyring: what a sandbox falls back to that gets none of its own (kernel.keys.maxkeys, EDQUOT).

        Tried again before each launch until there is room for one.
        """
        with contextlib.suppress(KernelError):
            kernel.join_anonymous_keyring()
            self._has_keyring = True

    def fork(
        self, clone_flags: int, joins: list[tuple[int, int]], given: dict[str, list[int]], *, hidden: bool
    ) -> tuple[int, int, int]:
        """Take the spare where it fits, else clone: pid, pidfd, the report's reading end. Refused."""
        if not self._has_keyring:
            self._leave_login_keyring()
        plan, channel, stdio = given["plan"][0], given["channel"][0], given["stdio"]
        spare = self._spare
        # To move the spare into a cgroup would wait for an RCU grace period, some 9 ms; to clone into it costs 1 ms.
        cgroup = given.get("cgroup", [None])[0]
        if clone_flags == FLAGS and not joins and cgroup is None and self._ahead:
            steps = decode_plan(os.pread(plan, os.fstat(plan).st_size, 0))[1:]
            self._remember(leading(steps))
            if spare is not None and not self._is_as_made(spare):
                self._lose_spare()
            elif spare is not None and steps[: len(spare.steps)] == spare.steps:
                self._drop_spare()
                if spare.give(plan, channel, stdio):
                    return spare.pid, spare.pidfd, spare.report
                spare.discard()
        report, report_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        stdin, stdout, stderr = stdio
        descriptors = Descriptors(plan, channel, (stdin, stdout, stderr), report_writer, self._self_pidfd)
        try:
            request = Request(descriptors, clone_flags, joins, cgroup, hidden=hidden)
            return *request.start(), report
        except Refused:
            os.close(report)
            raise
        finally:
            os.close(report_writer)

    @property
    def spare_pid(self) -> int:
        """Of the process cloned ahead; 0 without one."""
        return self._spare.pid if self._spare is not None else 0

    def _remember(self, steps: list[Step]) -> None:
        """Where two launches in a row have less in common, the next spare does less."""
        self._last, self._wanted = steps, steps if self._last is None else common(self._last, steps)

    def _is_as_made(self, spare: Spare) -> bool:
        """Whether the host's mounts, and the files that it has mounted, are still what they were."""
        if not spare.sees_mounts:
            return True
        return self._mounts is not None and not self._mounts.have_changed() and spare.sources.are_the_same()

    def want_spare(self) -> None:
        """Have the next one made, once nobody waits; another one where this one has done too much, or too little."""
        self.wants_spare = self._ahead and (self._spare is None or self._spare.steps != self._wanted)

    def make_spare(self) -> None:
        """While nobody waits. Where it cannot be made, the next launch says why."""
        self.wants_spare = False
        self._lose_spare()
        with contextlib.suppress(OSError):
            if any(phase == "ns.mount" for phase, _ in self._wanted):
                self._mounts = Mounts()
                self._watch.add(self._mounts.fd, self._lose_spare, Mounts.EVENTS)
            spare = self._spare = Spare(self._self_pidfd, self._wanted)
            self._watch.add(spare.pidfd, self._lose_spare)

    def _lose_spare(self) -> None:
        """It has died, or is of no use any more: the host's mounts have changed, or plans have."""
        spare = self._drop_spare()
        if spare is not None:
            spare.discard()

    def _drop_spare(self) -> Spare | None:
        """Have none from here on; it is still there."""
        if self._mounts is not None:
            self._watch.remove(self._mounts.fd)
            self._mounts.close()
            self._mounts = None
        spare, self._spare = self._spare, None
        if spare is not None:
            self._watch.remove(spare.pidfd)
        return spare

    def close(self) -> None:
        """Be rid of the spare."""
        self._lose_spare()
