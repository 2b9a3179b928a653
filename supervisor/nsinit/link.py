"""The keeper's end of its connection to the daemon: messages with descriptors, never blocking."""

from __future__ import annotations

import _socket
import os
import select
import struct

from supervisor.wire import MAX_MESSAGE_BYTES, pack, unpack

MAX_FDS = 64


class Link:
    """One daemon's connection. Sends wait in a queue where the daemon does not read."""

    def __init__(self, connection: _socket.socket) -> None:
        """Take the socket over."""
        self.socket = connection
        self.socket.setblocking(False)
        self.queue: list[tuple[bytes, list[int]]] = []

    def fileno(self) -> int:
        """For poll."""
        return self.socket.fileno()

    def send(self, *tokens: str | int, fds: list[int] | None = None) -> None:
        """Send one message, or queue it with copies of its descriptors: fds stay the caller's."""
        data = pack(*tokens)
        if self.queue or not self._send(data, fds or []):
            self.queue.append((data, [os.dup(fd) for fd in fds or ()]))

    def flush(self) -> None:
        """Send until the daemon's buffer is full. OSError where it is gone."""
        while self.queue:
            data, fds = self.queue[0]
            if not self._send(data, fds):
                return
            for fd in fds:
                os.close(fd)
            self.queue.pop(0)

    def _send(self, data: bytes, fds: list[int]) -> bool:
        """Say whether there was room for it."""
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        try:
            self.socket.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        return True

    def receive(self) -> tuple[list[str], list[int]] | None:
        """One message and its descriptors; None at the end of the connection. BlockingIOError where there is none."""
        room = _socket.CMSG_SPACE(MAX_FDS * 4)
        data, control, _, _ = self.socket.recvmsg(MAX_MESSAGE_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
        fds = [
            fd
            for level, kind, value in control
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
            for (fd,) in struct.iter_unpack("i", value[: len(value) & ~3])
        ]
        if data:
            return unpack(data), fds
        for fd in fds:  # no message is empty: this is the end, or something that does not know the protocol
            os.close(fd)
        return None

    def hung_up(self) -> bool:
        """Whether the other end is closed; messages may still be there to be received."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(0))

    def peer_uid(self) -> int:
        """The uid behind the socket (SO_PEERCRED, unix(7))."""
        found = self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", found)[1])

    def close(self) -> None:
        """Close, with what was not sent."""
        for _, fds in self.queue:
            for fd in fds:
                os.close(fd)
        self.queue.clear()
        self.socket.close()
