"""Messages with descriptors to and from a keeper."""

import errno
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable

import trio

from supervisor.runtime.keeper_errors import KeeperGoneError, Refused
from supervisor.wire import MAX_MESSAGE_BYTES, unpack

MAX_FDS = 64
GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF)


class KeeperSocket:
    """The daemon's end of one connection (SOCK_SEQPACKET)."""

    def __init__(self, connection: socket.socket) -> None:
        """Take the socket over."""
        connection.setblocking(False)
        self._socket = connection
        self._sending = trio.Lock()
        self.is_cut = False  # the last message received: its descriptors found no room in this process

    def duplicate(self) -> int:
        """Another descriptor of it. KeeperGoneError; Refused where there is no room for one."""
        try:
            return os.dup(self._socket.fileno())
        except OSError as error:
            if error.errno in GONE:
                raise KeeperGoneError(str(error)) from None
            raise Refused(0, time.monotonic_ns(), error.errno or 0, "dup", error.strerror or "") from None

    async def send(self, message: bytes, fds: list[int]) -> None:
        """Send one message with descriptors, which stay the caller's. KeeperGoneError; Refused where it lives."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        if not self._sending.locked() and self._send(message, rights):  # at once: a launch waits for nobody's turn
            return
        async with self._sending:
            while not self._send(message, rights):
                await self._wait(trio.lowlevel.wait_writable)

    def _send(self, message: bytes, rights: list[tuple[int, int, bytes]]) -> bool:
        """Say whether there was room for it."""
        try:
            self._socket.sendmsg([message], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in GONE:
                raise KeeperGoneError(str(error)) from None
            number = error.errno or errno.EIO  # ETOOMANYREFS, ENOBUFS, EMSGSIZE: it lives
            raise Refused(0, time.monotonic_ns(), number, "sendmsg", os.strerror(number)) from None
        return True

    async def receive(self) -> tuple[list[str], list[int]]:
        """One message and its descriptors. KeeperGoneError."""
        room = socket.CMSG_SPACE(MAX_FDS * 4)
        while True:
            try:
                data, control, flags, _ = self._socket.recvmsg(MAX_MESSAGE_BYTES, room, socket.MSG_CMSG_CLOEXEC)
                break
            except BlockingIOError:
                await self._wait(trio.lowlevel.wait_readable)
            except ConnectionResetError:  # it left with our last message unread; told once, before what it had said
                continue
            except OSError as error:
                raise KeeperGoneError(str(error)) from None
        if not data:
            raise KeeperGoneError("it closed the connection")
        self.is_cut = bool(flags & socket.MSG_CTRUNC)
        fds = [fd for _, _, value in control for (fd,) in struct.iter_unpack("i", value[: len(value) & ~3])]
        return unpack(data), fds

    async def _wait(self, until: Callable[[socket.socket], Awaitable[None]]) -> None:
        try:
            await until(self._socket)
        except trio.ClosedResourceError:
            raise KeeperGoneError("the connection was closed") from None

    def peer_pid(self) -> int:
        """Who listens at the other end (SO_PEERCRED); 0 from another pid namespace."""
        return int(struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])

    def close(self) -> None:
        """Close the connection: the keeper waits for the next daemon."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


def close_all(fds: list[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)
