"""What a worker without a pid namespace of its own left behind: orphans that came to the keeper, the subreaper."""

from __future__ import annotations

import contextlib
import os
import time

from supervisor.nsinit.descendants import children, kill_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

LONGEST_S = 0.2  # the keeper waits, and all launches with it
PAUSE_S = 0.001


def end_strays(known: Container[int]) -> int:
    """Kill and reap the children of this process that are not known, and all below them: how many are still there.

    A worker's first process is a subreaper itself, so what comes here was a worker's whose first process has ended.
    What does not die in LONGEST_S, asleep in the kernel, is left to the next call.
    """
    ours = os.getpid()
    deadline = time.monotonic() + LONGEST_S
    while left := [pid for pid in children(ours) if pid not in known]:
        kill_below(ours, known)
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE_S)
    return len(left)
