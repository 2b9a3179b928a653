"""Ending a whole sandbox."""

import os
import signal
from contextlib import suppress

import psutil

from supervisor.runtime.cgroup import Cgroup
from supervisor.runtime.child import Child, send_signal


def kill_tree(child: Child, *, own_pid_namespace: bool, cgroup: Cgroup | None = None) -> None:
    """SIGKILL all of a cgroup at once, or the first process: its pid namespace goes with it.

    Without both, its descendants first, by pidfd each.
    """
    killed = cgroup is not None and cgroup.kill()
    if not killed and not own_pid_namespace:
        send_signal(child.pidfd, signal.SIGSTOP)
        below: set[psutil.Process] = set()
        while new := _descendants(child.pid) - below:  # what is stopped forks no more
            for process in new:
                _send(process, signal.SIGSTOP)
            below |= new
        for process in below:
            _send(process, signal.SIGKILL)
    send_signal(child.pidfd, signal.SIGKILL)


def _descendants(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.Error:  # it has ended: what was below it is somebody else's now
        return set()


def _send(process: psutil.Process, number: int) -> None:
    """By pidfd. psutil compares start times: a number used again is not the old process."""
    with suppress(psutil.Error, OSError):  # gone meanwhile
        pidfd = os.pidfd_open(process.pid)
        try:
            if process.is_running():
                send_signal(pidfd, number)
        finally:
            os.close(pidfd)
