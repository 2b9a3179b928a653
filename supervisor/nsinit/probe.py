"""Makes TCP sockets in another process's network namespace, and hands them to whoever asked.

A process of its own: a process with several threads cannot join a user namespace, and the daemon must not.
Arguments: PID FAMILY COUNT; standard input is a unix socket, which takes one message with the descriptors.
Exit code 0: handed over; 1: nobody asks any more; 2: cannot enter, said on standard error.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys

from supervisor.kernel import process
from supervisor.kernel.libc import KernelError
from supervisor.kernel.namespaces import owner
from supervisor.kernel.setns import setns

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
ENTER_TRIES = 20  # the process may be just executing its command, or leaving
PAUSE_MS = 50


def main() -> int:
    """Do as sys.argv says."""
    pid, family, count = sys.argv[1:4]
    for attempt in range(ENTER_TRIES):
        try:
            enter(pid)
            break
        except OSError as error:
            if attempt == ENTER_TRIES - 1:
                call = error.syscall if isinstance(error, KernelError) else "open"
                os.write(2, f"cannot enter the network namespace of process {pid}: {call}: {error.strerror}\n".encode())
                return 2
        if pause(PAUSE_MS):
            return 1
    made = [socket.socket(int(family), socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(int(count))]
    rights = struct.pack(f"{len(made)}i", *(one.fileno() for one in made))
    with socket.socket(fileno=0) as link:
        link.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    return 0


def enter(pid: str) -> None:
    """Join the process's network namespace, by way of the user namespace that owns it.

    Who has CAP_SYS_PTRACE there, and sees the host's processes, is not to have this one, whose root is the host's.
    """
    process.prctl(process.PR_SET_DUMPABLE, 0)
    network = open_namespace(pid, "net")
    try:
        if same(network, "net"):
            return
        user = owner(network)
        if not same(user, "user"):
            setns(user, CLONE_NEWUSER)
            process.prctl(process.PR_SET_DUMPABLE, 0)  # new credentials may have undone it (fs.suid_dumpable)
        os.close(user)
        setns(network, CLONE_NEWNET)
    finally:
        os.close(network)


def open_namespace(pid: str, kind: str) -> int:
    """Of the process or, where it hides itself (an init that must not be looked into), of one below it."""
    try:
        return os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        for child in children(pid):
            try:
                return open_namespace(child, kind)
            except OSError:
                continue
        raise


def children(pid: str) -> list[str]:
    """Its children's pids."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


def same(fd: int, kind: str) -> bool:
    """Whether this is our own namespace of that kind."""
    mine, other = os.stat(f"/proc/self/ns/{kind}"), os.fstat(fd)
    return (mine.st_dev, mine.st_ino) == (other.st_dev, other.st_ino)


def pause(duration_ms: int) -> bool:
    """Wait. True as soon as the other end of standard input is closed: nobody asks any more."""
    poller = select.poll()
    poller.register(0, select.POLLIN)
    return bool(poller.poll(duration_ms))


if __name__ == "__main__":
    sys.exit(main())
