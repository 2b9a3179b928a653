"""The tie to the keeper."""

import errno
import os
import select

from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box

SIGKILL = 9


def bind(box: Box) -> None:
    """parent.bind."""
    arm_death_signal(box)


def release(box: Box) -> str | None:
    """parent.release: disarm the death signal. Only where a cgroup of a service manager's ends the worker for sure.

    The daemon is asked: it must know of this process before the keeper may die without taking it along, for it would
    launch another; and its cgroup must be there.
    """
    try:
        box.channel.need("release")
    except KernelError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return "skipped"
    if box.init_fd >= 0:
        os.write(box.init_fd, b"r")
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 0)
    box.released = True
    return None


def arm_death_signal(box: Box) -> None:
    """Die with the keeper. Any change of credentials disarms this, so it is called after each.

    A change may make a hidden process dumpable as well, where the host says so (fs.suid_dumpable).

    The keeper may have died before: seen by its pidfd, as getppid() is 0 in a pid namespace.
    """
    if box.hidden:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if box.released:
        return
    kernel.prctl(kernel.PR_SET_PDEATHSIG, SIGKILL)
    poll = select.poll()
    poll.register(box.keeper_pidfd, select.POLLIN)
    if poll.poll(0):
        raise KernelError(errno.ESRCH, "prctl", None, "the keeper is gone")
