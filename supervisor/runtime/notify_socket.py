"""sd_notify(3) from workers: one datagram socket per incarnation, which the keeper holds, too.

So what is said while there is no daemon waits in the socket's queue. It is bound inside the sandbox, by nsinit: only
the sandbox's mount namespace leads to it.
"""

import os
import socket
import struct
import threading
from contextlib import suppress
from typing import NamedTuple

import trio

from supervisor.runtime.probe_answer import shown

MESSAGE_BYTES = 4096
MOST_FDS = 253  # of one message (SCM_MAX_FD): what finds no room is closed by the kernel, and by this thread
AT_ONCE = 16  # messages, then others get their turn
PAUSE_S = 0.05  # after so many: a worker that says more waits for us, its queue is full
STUCK_S = 0.1  # a thread that took a message, and has not come back since, is left to what came with it
GENERATIONS = 64  # of ancestors are looked at
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: unix(7)


class Message(NamedTuple):
    """One datagram: its assignments, and the pid on the host of who sent it."""

    assignments: dict[str, str]
    pid: int


def open_socket() -> int:
    """One that is bound nowhere yet, and will learn who sends: its descriptor. OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        return one.detach()


def bind(fd: int, path: str) -> None:
    """Bind it at a path of the host's, in place of one that was left. OSError.

    Whoever sees the file may write to it, a worker may be another user outside; its directory is the daemon's own.
    """
    directory, name = os.path.split(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError):
        os.unlink(path)
    held = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(fileno=os.dup(fd)) as one:
            one.bind(f"/proc/self/fd/{held}/{name}")  # the path may be longer than an address can be
    finally:
        os.close(held)
    os.chmod(path, 0o666)  # noqa: S103


async def receive(fd: int) -> Message:
    """Wait for a datagram. Descriptors that come with it are closed, which is the answer to BARRIER=1.

    By a thread of its own: to close a socket that lingers, or a file of a server in the sandbox, takes as long as the
    sender likes.
    """
    while True:
        await trio.lowlevel.wait_readable(fd)
        with socket.socket(fileno=os.dup(fd)) as one:
            space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * MOST_FDS)
            try:
                data, control, _, _ = one.recvmsg(MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
        pid = 0
        given: list[int] = []
        for _, kind, content in control:
            if kind == socket.SCM_CREDENTIALS:
                pid = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0]
            elif kind == socket.SCM_RIGHTS:
                given += (one for (one,) in struct.iter_unpack("i", content[: len(content) // 4 * 4]))
        if given:
            try:
                await trio.to_thread.run_sync(_close, given, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))
            finally:
                if given:  # cancelled before it began, or while the first of them takes its time
                    threading.Thread(target=_close, args=(given,), daemon=True).start()
        return Message(parse(data), pid)


def _close(fds: list[int]) -> None:
    with suppress(IndexError):  # another thread may be at it
        while True:
            os.close(fds.pop())


async def drain(fd: int) -> None:
    """Let nobody write to it any more, and throw away what was not read.

    Else the last to close it closes the descriptors in it, too, and waits as long as their sender likes: the keeper.
    """
    empty = trio.Event()
    token = trio.lowlevel.current_trio_token()
    whole = socket.socket(fileno=fd)
    whole.shutdown(socket.SHUT_RD)
    whole.detach()

    def discard(one: socket.socket) -> None:
        with one, suppress(OSError):  # EAGAIN
            while True:
                one.recv(1, socket.MSG_DONTWAIT)  # no room for descriptors: the kernel closes them, in this thread
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(empty.set)

    while not empty.is_set():
        with suppress(OSError):  # EMFILE, for now
            threading.Thread(target=discard, args=(socket.socket(fileno=os.dup(fd)),), daemon=True).start()
        with trio.move_on_after(STUCK_S):
            await empty.wait()


def parse(data: bytes) -> dict[str, str]:
    """NAME=VALUE, one a line; of a name given twice the last. Values are cut and without control characters."""
    pairs = (line.partition(b"=") for line in data.split(b"\n"))
    return {name.decode("ascii", "replace"): shown(value) for name, equals, value in pairs if name and equals}


def is_below(pid: int, first: int, cgroup: str | None) -> bool | None:
    """Whether a process is in the cgroup, or the first process or below it; None where it has ended.

    In a pid namespace, whose children have lost their parent are its first process's.
    """
    if pid <= 0:
        return False
    try:
        if cgroup is not None and _in_cgroup(pid, cgroup):
            return True
        for _ in range(GENERATIONS):
            if pid == first:
                return True
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
            if pid <= 1:
                break
    except (FileNotFoundError, ProcessLookupError):
        return None
    return False


def _in_cgroup(pid: int, directory: str) -> bool:
    """Whether its cgroup is this directory or one below it."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "/")
    return os.path.basename(directory) in path.split("/")
