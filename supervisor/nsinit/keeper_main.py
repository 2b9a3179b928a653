"""The keeper's process: what it inherited from the daemon's put right, then the keeper itself."""

from __future__ import annotations

import os
import signal
import sys

from supervisor.kernel.libc import KernelError
from supervisor.kernel.title import set_title
from supervisor.nsinit.keeper import Keeper


def main(arguments: list[str]) -> None:
    """Arguments: listening descriptor or -1, connected descriptor or -1, seconds to wait for a daemon (may be inf)."""
    listener, connection, adopt_timeout_s = arguments
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())  # children must lose none before they listen
    for number in signal.valid_signals():
        # Python catches one and ignores two, nohup and others ignore more, and so would the workloads.
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)  # the mount points made in a sandbox are for everyone in it, whatever the daemon was started with
    for fd in (int(listener), int(connection)):
        if fd >= 0:
            os.set_inheritable(fd, False)
    set_title("nsinit: keeper")
    try:
        Keeper(int(listener), int(connection), float(adopt_timeout_s)).run()
    except KernelError as error:
        sys.stderr.write(f"nsinit-keeper: {error.syscall}: {error}\n")
        raise
