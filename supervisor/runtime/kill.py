"""Ending a whole sandbox."""

import os
import signal

import psutil

from supervisor.runtime.launcher import Child, send_signal


def kill_tree(child: Child, *, own_pid_namespace: bool) -> None:
    """SIGKILL the first process: its pid namespace goes with it. Without one, its descendants first, by pidfd each."""
    if not own_pid_namespace:
        for pidfd in _descendants(child.pid):
            send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    send_signal(child.pidfd, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """Pidfds of all below a process. psutil compares start times: a number used again is not the old one."""
    found = []
    try:
        for process in psutil.Process(pid).children(recursive=True):
            fd = os.pidfd_open(process.pid)
            if process.is_running():
                found.append(fd)
            else:
                os.close(fd)
    except (psutil.Error, OSError):  # gone meanwhile: nothing left to be killed there
        pass
    return found
