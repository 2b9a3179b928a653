"""The keeper's process: what it inherited from the daemon's put right, then the keeper itself."""

from __future__ import annotations

import os
import signal
import sys

from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.kernel.title import set_title
from supervisor.nsinit.keeper import Keeper


def main(arguments: list[str]) -> None:
    """Arguments: listening descriptors or -1, a connected one or -1, seconds to wait for a daemon (may be inf); a lock.

    The listening ones are joined by commas. The lock is a descriptor whose file is locked already: it is kept open.
    """
    listening, connection, adopt_timeout_s, *lock = arguments
    listeners = [int(word) for word in listening.split(",") if int(word) >= 0]
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())  # children must lose none before they listen
    for number in signal.valid_signals():
        # Python catches one and ignores two, nohup and others ignore more, and so would the workloads.
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)  # the mount points made in a sandbox are for everyone in it, whatever the daemon was started with
    for fd in (*listeners, int(connection), *map(int, lock)):
        if fd >= 0:
            os.set_inheritable(fd, False)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what a worker leaves behind comes here, see strays.py
    set_title("nsinit: keeper")
    try:
        Keeper(listeners, int(connection), float(adopt_timeout_s)).run()
    except KernelError as error:
        sys.stderr.write(f"nsinit-keeper: {error.syscall}: {error}\n")
        raise
