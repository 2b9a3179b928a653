"""Connects to an address from inside another process's network namespace, again and again, until it is answered.

A process of its own: a process with several threads cannot join a user namespace, and the daemon must not.
Arguments: PID HOST PORT INTERVAL_MS. Exit code 0: answered; 1: standard input was closed; 2: cannot probe, said on
standard error.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys

from supervisor.kernel.libc import KernelError
from supervisor.kernel.namespaces import owner
from supervisor.kernel.setns import setns

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
ENTER_TRIES = 20  # the process may be just executing its command, or leaving
CONNECT_TIMEOUT_MS = 1000

TYPE_CHECKING = False
if TYPE_CHECKING:
    Address = tuple[int, int, int, tuple[object, ...]]


def main() -> int:
    """Probe as sys.argv says."""
    pid, host, port, interval_ms = sys.argv[1:5]
    interval = int(interval_ms)
    for attempt in range(ENTER_TRIES):
        try:
            enter(pid)
            break
        except OSError as error:
            if attempt == ENTER_TRIES - 1:
                call = error.syscall if isinstance(error, KernelError) else "open"
                os.write(2, f"cannot enter the network namespace of process {pid}: {call}: {error.strerror}\n".encode())
                return 2
        if pause(max(interval, 50)):
            return 1
    try:
        found = socket.getaddrinfo(host.encode(), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        os.write(2, f"cannot resolve {host}: {error.strerror}\n".encode())
        return 2
    addresses = [(family, kind, protocol, address) for family, kind, protocol, _name, address in found]
    while True:
        for candidate in addresses:
            if answers(candidate):
                return 0
        if pause(interval):
            return 1


def enter(pid: str) -> None:
    """Join the process's network namespace, by way of the user namespace that owns it."""
    network = open_namespace(pid, "net")
    try:
        if same(network, "net"):
            return
        user = owner(network)
        if not same(user, "user"):
            setns(user, CLONE_NEWUSER)
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


def answers(candidate: Address) -> bool:
    """Whether a connection comes about, and not with ourselves (loopback does that by chance, in the dynamic ports)."""
    family, kind, protocol, address = candidate
    try:
        with socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol) as connection:
            code = connection.connect_ex(address)
            if code == errno.EINPROGRESS:
                poller = select.poll()
                poller.register(connection, select.POLLOUT)
                poller.register(0, 0)  # only its end is told
                ready = poller.poll(CONNECT_TIMEOUT_MS)
                if [fd for fd, _event in ready] != [connection.fileno()]:
                    return False
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return code == 0 and connection.getsockname() != connection.getpeername()
    except OSError:
        return False


def pause(duration_ms: int) -> bool:
    """Wait. True as soon as standard input is closed: nobody asks any more."""
    poller = select.poll()
    poller.register(0, select.POLLIN)
    return bool(poller.poll(duration_ms))


if __name__ == "__main__":
    sys.exit(main())
