"""A listening socket whose accept loop outlives a want of descriptors, and the loss of the socket's file."""

import errno
import os
import socket

import trio

from supervisor.control import sockets
from supervisor.control.fleet_surface import BusSurface
from supervisor.runtime.presence import until_missing

SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})  # accept(2): the connection waits
RETRY_S = 0.2  # poll(2) would report the waiting connection at once, and for ever


class Acceptor:
    """Takes connections. What keeps it from doing so is published once, and once more when it is over."""

    def __init__(self, listening: socket.socket, bus: BusSurface, where: str) -> None:
        """`listening` is this one's from now on and does not block. where: its path or address, for records."""
        self._listening = listening
        self._bus = bus
        self._where = where
        self._short = False
        self._inode = _inode(where)  # of the socket's file, if it has one
        self._open = trio.Event()
        self._open.set()

    @property
    def fd(self) -> int:
        """The socket's."""
        return self._listening.fileno()

    async def shut(self) -> None:
        """Accept none for a while: who connects waits in the kernel's queue."""
        self._open = trio.Event()
        await trio.lowlevel.checkpoint()

    def reopen(self) -> None:
        """Accept them again."""
        self._open.set()

    async def accept(self) -> socket.socket:
        """Wait for a connection; it does not block."""
        while True:
            listening = self._listening
            try:
                await trio.lowlevel.wait_readable(listening)  # first: accept(2) wants a descriptor before it looks
                await self._open.wait()
                connection, _ = listening.accept()
            except trio.ClosedResourceError:
                if listening is self._listening:
                    raise
            except BlockingIOError:  # it went away meanwhile
                self._recover()
            except OSError as error:
                if error.errno in SHORTAGE:
                    await self._tell_shortage(error)
            else:
                self._recover()
                connection.setblocking(False)
                return connection

    def _recover(self) -> None:
        if self._short:
            self._short = False
            self._bus.publish("control.recovered", listener=self._where)

    async def _tell_shortage(self, error: OSError) -> None:
        if not self._short:
            self._short = True
            name = errno.errorcode[error.errno or 0]
            hint = "Raise LimitNOFILE= or ulimit -n, or end what holds them: `ls /proc/PID/fd` of the daemon."
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                hint = "The kernel has no memory for another connection."
            self._bus.publish(
                "control.starved", "error", listener=self._where, errno=name, error=error.strerror, hint=hint
            )
        await trio.sleep(RETRY_S)

    async def stay(self, kind: int = socket.SOCK_STREAM) -> None:
        """See that the socket can be found at its path, and listen there anew where it cannot; until cancelled."""
        path, told = self._where, ""
        while True:
            await until_missing(path, lambda: _inode(path) == self._inode)
            try:
                fresh = sockets.listen(path, kind)
            except (OSError, sockets.SocketTaken) as error:
                if told != str(error):
                    told = str(error)
                    self._bus.publish("control.lost", "error", listener=self._where, error=told)
                continue
            self._replace(fresh)
            told = ""
            self._bus.publish("control.restored", "warning", listener=self._where)

    def _replace(self, fresh: socket.socket) -> None:
        old, self._listening = self._listening, fresh
        self._inode = _inode(self._where)
        trio.lowlevel.notify_closing(old)
        old.close()

    def close(self) -> None:
        """Listen no more, and take the socket's file away unless another has taken its place."""
        trio.lowlevel.notify_closing(self._listening)
        self._listening.close()
        if self._inode:
            sockets.unlink(self._where, self._inode)


def _inode(path: str) -> int:
    """0 where there is no such file."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0
