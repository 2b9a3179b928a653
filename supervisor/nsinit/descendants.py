"""All that a process has forked, found by /proc and ended, where no pid namespace does that."""

from __future__ import annotations

import contextlib
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container


def kill_below(pid: int, spared: Container[int] = ()) -> int:
    """SIGKILL every descendant of a process but these children of its, and theirs: how many there were.

    All are stopped before the first is killed, for what is stopped forks no more: a fork that a signal finds under way
    begins anew after it (fork(2), ERESTARTNOINTR). Who was orphaned meanwhile went to the next subreaper above: look
    again until there are none.
    """
    held: dict[int, int] = {}  # pids to pidfds
    try:
        while fresh := _new_children((pid, *held), pid, held, spared):
            for child, parent in fresh.items():
                with contextlib.suppress(ProcessLookupError):  # gone meanwhile
                    pidfd = os.pidfd_open(child)
                    if child in children(parent):  # the number is still that of the process which is held now
                        held[child] = pidfd
                        _send(pidfd, signal.SIGSTOP)
                    else:
                        os.close(pidfd)
    except OSError:  # EMFILE: those that are held first
        pass
    for pidfd in held.values():
        _send(pidfd, signal.SIGKILL)
        os.close(pidfd)
    return len(held)


def _new_children(parents: tuple[int, ...], top: int, known: Container[int], spared: Container[int]) -> dict[int, int]:
    """Children of these processes that are not known yet, and whose they are."""
    return {
        child: parent
        for parent in parents
        for child in children(parent)
        if child not in known and not (parent == top and child in spared)
    }


def _send(pidfd: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone; or another user's by now (set-user-ID)
        signal.pidfd_send_signal(pidfd, number)


def children(pid: int) -> list[int]:
    """Of all of a process's threads."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:  # gone meanwhile: its children are somebody else's now
        pass
    return found
