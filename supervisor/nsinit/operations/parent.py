"""The tie to the keeper."""

import errno
import select

from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box

SIGKILL = 9


def bind(box: Box) -> None:
    """parent.bind."""
    arm_death_signal(box)


def arm_death_signal(box: Box) -> None:
    """Die with the keeper. Any change of credentials disarms this, so it is called after each.

    A change may make a hidden process dumpable as well, where the host says so (fs.suid_dumpable).

    The keeper may have died before: seen by its pidfd, as getppid() is 0 in a pid namespace.
    """
    if box.hidden:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, SIGKILL)
    poll = select.poll()
    poll.register(box.keeper_pidfd, select.POLLIN)
    if poll.poll(0):
        raise KernelError(errno.ESRCH, "prctl", None, "the keeper is gone")
