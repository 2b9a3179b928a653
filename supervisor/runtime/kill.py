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


def owns_pid_namespace(child: Child) -> bool:
    """Whether it is the first process of a pid namespace below ours, as /proc says (NSpid); false where that is hidden.

    For one that another daemon launched, by a configuration that may have been another.
    """
    numbers: list[str] = []
    try:
        with open(f"/proc/{child.pid}/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                key, _, value = line.partition(":")
                if key == "NSpid":
                    numbers = value.split()
    except OSError:
        return False
    return len(numbers) > 1 and numbers[-1] == "1" and not child.has_ended()  # else the number may be another's


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
