"""Start a program of the host's beside the sandboxes: in the keeper's hands, so that it outlives the daemon."""

from __future__ import annotations

import os
import time

from supervisor.kernel import files
from supervisor.kernel import process as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.child import close_others
from supervisor.nsinit.launch import Refused
from supervisor.wire import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SIGKILL = 9
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def start(argv: list[str], stdio: list[int]) -> tuple[int, int]:
    """Fork and execute argv (a path first) with these as descriptors 0-2, in a session of its own: pid and pidfd.

    It dies with the keeper. Refused where it cannot be executed.
    """
    begun = time.monotonic_ns()
    keeper = os.getpid()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = files.fork()
        if pid == 0:
            _become(argv, stdio, keeper, writer)
    except KernelError as error:
        os.close(reader)
        raise Refused(0, begun, error.errno or 0, error.syscall, error.strerror or "") from None
    finally:
        os.close(writer)
    answer = os.read(reader, 4096)  # empty once execve has closed the other end
    os.close(reader)
    if answer:
        os.waitpid(pid, 0)
        number, syscall, text = unpack(answer)
        raise Refused(0, begun, int(number), syscall, text)
    return pid, os.pidfd_open(pid)  # our own child, not reaped: the number cannot be another's


def _become(argv: list[str], stdio: list[int], keeper: int, writer: int) -> NoReturn:
    try:
        files.setsid()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != keeper:  # it died before that
            os._exit(1)
        copies = [os.dup(fd) for fd in stdio]  # none of them is 0-2 then, whatever the order was
        for number, fd in enumerate(copies):
            os.dup2(fd, number, inheritable=True)
        close_others(2, (writer,))
        kernel.unblock_signals()
        files.execve(argv[0], argv, ENVIRONMENT)
    except OSError as error:
        os.write(writer, pack(error.errno or 0, getattr(error, "syscall", ""), f"{argv[0]}: {error.strerror}"))
    finally:
        os._exit(1)
