"""The first process of a launch: the one that was cloned ahead where it fits, else one cloned now."""

from __future__ import annotations

import contextlib
import os

from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.child import Descriptors
from supervisor.nsinit.launch import Refused, Request
from supervisor.nsinit.spare import FLAGS, Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.nsinit.watch import Watch


class Forks:
    """The spare, and what all that is forked inherits."""

    def __init__(self, watch: Watch, *, ahead: bool) -> None:
        """ahead: clone the next launch's process before it is asked for."""
        self.wants_spare = ahead
        self._ahead = ahead
        self._watch = watch
        self._spare: Spare | None = None
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
        if spare is not None and clone_flags == FLAGS and not joins and cgroup is None:
            self._spare = None
            self._watch.remove(spare.pidfd)
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

    def want_spare(self) -> None:
        """Have the next one made, once nobody waits."""
        self.wants_spare = self._ahead and self._spare is None

    def make_spare(self) -> None:
        """While nobody waits. Where it cannot be made, the next launch says why."""
        self.wants_spare = False
        with contextlib.suppress(OSError):
            spare = self._spare = Spare(self._self_pidfd)
            self._watch.add(spare.pidfd, lambda: self._lose_spare(spare))

    def _lose_spare(self, spare: Spare) -> None:
        if spare is self._spare:
            self._spare = None
            self._watch.remove(spare.pidfd)
            spare.discard()

    def close(self) -> None:
        """Be rid of the spare."""
        if self._spare is not None:
            self._spare.discard()
